"""Call: one message is answered by the same verb as over HTTP, if a verb computes it."""

import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from app.api.http.byte_budget import Share
from app.api.http.service import Service
from app.api.shapes.fields import MAX_U32, REQUIRED
from app.api.shapes.inputs import memory_of
from app.api.verbs.answer_headers import Headers, model_headers, timing_headers
from app.api.verbs.counting import FailureCounted, counted
from app.api.verbs.long_texts.truncated import truncation_headers
from app.api.verbs.verb import Request, Verb
from app.inference.computing import Computed
from app.inference.served_model import ServedModel
from app.inference.tokenizing.encoding_input import characters
from app.rpc.caller import Caller
from app.rpc.messages import named, parsed

_METADATA = named("Metadata")
_LEFT = 1  # of TruncationDirection


@dataclass(frozen=True, slots=True)
class Message:
    """One message of a call, and the context of its answer."""

    service: Service  # the one model that calls are for
    caller: Caller
    content: bytes
    share: Share
    waits: bool  # whether it waits for a permit instead of being refused


@dataclass(frozen=True, slots=True)
class Answer:
    """A message, and the metadata of the call if it is the only one."""

    content: bytes
    headers: Headers


class Call(Protocol):
    """The handler of one kind of message."""

    async def __call__(self, message: Message, /) -> Answer:
        """Answer a message; raises ServiceError or CallRefused."""


@dataclass(frozen=True, slots=True)
class Computation:
    """A call that a verb computes; `written` gives the answer's bytes, all but its metadata."""

    verb: Verb
    request: Any
    response: Any
    written: Callable[[ServedModel, Request[Any], Computed[Any]], bytes]
    built: "Callable[[Verb, Any], Request[Any]] | None" = None
    check: Callable[[ServedModel, Any], None] | None = None  # of a message that may be refused
    waits: bool = False

    async def __call__(self, message: Message) -> Answer:
        asked = parsed(self.request, message.content)
        service = message.service
        with message.caller.request(self.verb.name) as span:
            with FailureCounted(service.metrics):
                if self.check is not None:
                    span.model = service.model.label
                    self.check(service.model, asked)
                request = (self.built or built)(self.verb, asked)
                message.share.reserve(max(0, memory_of(request.inputs) - len(message.content)))
            waits = self.waits or message.waits
            async with admitted(service.model, len(request.inputs), waits=waits) as model:
                metrics, reserve = model.metrics, message.share.reserve
                computed = await counted(model, metrics, self.verb, request, span, reserve)
            return self.answer(model, request, computed, span.started)

    def answer(
        self, model: ServedModel, request: Request[Any], computed: Computed[Any], started: float
    ) -> Answer:
        """Return the answer to a request: its bytes, then those of its cost, are one message."""
        cost = _METADATA(**_costs(request, computed, started))
        content = self.written(model, request, computed)
        content += self.response(metadata=cost).SerializeToString()
        headers = [
            *model_headers(model),
            *timing_headers(request, computed, started),
            *truncation_headers(computed.truncated),
        ]
        return Answer(content, headers)


def built(verb: Verb, message: Any) -> Request[Any]:
    """Return the request that a message makes of a verb."""
    return verb.build(defaults(verb) | fields(message))


def defaults(verb: Verb) -> dict[str, Any]:
    """Return the values that a verb's fields have if a body leaves them out."""
    every = verb.shape.fields.values()
    return {field.name: field.default for field in every if field.default is not REQUIRED}


def fields(message: Any) -> dict[str, Any]:
    """Return the values that a message has for the fields of a body.

    An enumeration has no presence: of the two ends at which texts are cut, the right one is what a
    client says that says nothing, so that it leaves the choice to the model.
    """
    found = {
        field.name: getattr(message, field.name)
        for field in message.DESCRIPTOR.fields
        if not field.has_presence or message.HasField(field.name)
    }
    if "truncation_direction" in found:
        found["truncation_direction"] = "left" if found["truncation_direction"] == _LEFT else None
    if isinstance(found.get("inputs"), str):
        found["inputs"] = [found["inputs"]], False
    return found


@contextlib.asynccontextmanager
async def admitted(model: ServedModel, inputs: int, *, waits: bool) -> AsyncIterator[ServedModel]:
    """Yield the model for a request that waits for its permits, or that takes them by itself.

    What can only fail waits for nothing.
    """
    admission = model.engine.admission
    if not waits or not 0 < inputs <= admission.most(0):
        yield model
        return
    async with admission.permits.waited(inputs) as granted:
        yield model.within(granted)


def _costs(request: Request[Any], computed: Computed[Any], started: float) -> dict[str, int]:
    """Return what an answer says of its cost; times are in nanoseconds."""
    timings = computed.timings
    return {
        "compute_chars": min(sum(map(characters, request.inputs)), MAX_U32),
        "compute_tokens": min(sum(computed.token_counts), MAX_U32),
        "total_time_ns": int((time.perf_counter() - started) * 1e9),
        "tokenization_time_ns": int(timings.tokenization * 1e9),
        "queue_time_ns": int(timings.queue * 1e9),
        "inference_time_ns": int(timings.inference * 1e9),
    }
