"""Endpoints: the handlers behind the paths. Read, compute, answer, and count it once."""

import contextlib
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from functools import cache
from itertools import chain

from starlette.types import Receive, Scope, Send

from app.api.body import reader
from app.api.http.byte_budget import Share
from app.api.http.client_gone import SOON_SECONDS, unless_gone
from app.api.http.forms.form import Form, as_text
from app.api.http.service import Service
from app.api.http.transport import (
    JSON,
    MOMENT_BYTES,
    TEXT,
    RawHeaders,
    beginning,
    deadline,
    in_turn,
    is_whole,
    of_a_moment,
    respond,
    respond_in_parts,
    seconds_allowed,
)
from app.api.shapes.inputs import memory_of
from app.api.verbs.answer_headers import model_headers, timing_headers
from app.api.verbs.counting import FailureCounted, counted
from app.api.verbs.long_texts.truncated import truncation_headers
from app.api.verbs.rendering import render_error
from app.api.verbs.spans import RequestSpan
from app.api.verbs.verb import Room
from app.errors import (
    ClientGone,
    DeadlineExceeded,
    ServiceError,
    Unhealthy,
    UnreadableRequest,
)
from app.inference.served_model import ServedModel

logger = logging.getLogger(__name__)

_UNLIMITED = contextlib.nullcontext()

# Yields the parts of the answer to a body; errors are raised before the first.
Answer = Callable[[ServedModel, bytes, RequestSpan, Room], AsyncGenerator[bytes, None]]


class BatchedPost:
    """POST of one verb, or of the verb that a body asks for."""

    def __init__(self, service: Service, form: Form) -> None:
        self._service = service
        self.form = form

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._service.bodies.holding() as share:
            await self._respond(scope, receive, send, share)

    async def _respond(self, scope: Scope, receive: Receive, send: Send, share: Share) -> None:
        span = RequestSpan(scope, self._service.tracer)
        answer_error = self.form.render_error
        try:
            async with _in_time(self._service, scope):
                with FailureCounted(self._service.metrics):
                    content = await self.form.read(self._service.bodies, scope, receive, share)
                    size = len(content)
                    verb, content, beside = self.form.posted(scope, content)
                    span.name, answer_error = verb.name, verb.render_error
                    reading = reader.in_turns(content, verb.shape, verb.build, beside)
                    if size > reader.LARGE_BYTES:  # others may be read before it
                        reading = unless_gone(receive, reading)
                    request = await reading
                    share.reserve(max(0, memory_of(request.inputs) - size))
                    del content
                    model = self._service.model_for(request.model)
                asked = share.held
                run = counted(model, model.metrics, verb, request, span, share.reserve)
                computed = await unless_gone(receive, run, unwatched_seconds=SOON_SECONDS)
        except (UnreadableRequest, ServiceError, ClientGone) as error:
            await _respond_error(send, error, answer_error, span, self.form.unreadable)
        else:
            headers = model_headers(model) + timing_headers(request, computed, span.started)
            headers += truncation_headers(computed.truncated)
            answer = self.form.represented(scope, verb, model, request, computed)
            media_type, headers = answer.media_type, [*headers, *answer.headers]
            parts = iter(answer.parts)
            # Free the memory: a client may read slowly.
            del answer, request, computed, run, reading
            first = of_a_moment(parts)
            if len(first) <= MOMENT_BYTES:  # it is all
                share.keep(len(first))
                await respond(send, 200, first, media_type, headers)
                return
            async with contextlib.aclosing(in_turn(chain([first], parts))) as rest:
                first = await beginning(rest)
                share.keep(len(first) + (0 if is_whole(first) else share.held - asked))
                await respond_in_parts(receive, send, first, rest, media_type, headers)


class UnbatchedPost:
    """POST of a body that is answered without batching: the tokenizer's routes, and `/vertex`."""

    def __init__(self, service: Service, name: str, answer: Answer) -> None:
        self._service = service
        self._name = name
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._service.bodies.holding() as share:
            await self._respond(scope, receive, send, share)

    async def _respond(self, scope: Scope, receive: Receive, send: Send, share: Share) -> None:
        span = RequestSpan(scope, self._service.tracer, self._name)
        async with contextlib.AsyncExitStack() as opened:
            try:
                async with _in_time(self._service, scope):
                    with FailureCounted(self._service.metrics):
                        content = await self._service.bodies.read_json(scope, receive, share)
                    model = self._service.model
                    span.model = model.label
                    answer = self._answer(model, content, span, share)
                    parts = await opened.enter_async_context(contextlib.aclosing(answer))
                    first = await unless_gone(receive, beginning(parts))
            except (UnreadableRequest, ServiceError, ClientGone) as error:
                await _respond_error(send, error, render_error, span)
            else:
                if is_whole(first):
                    del content
                    share.keep(len(first))
                headers = model_headers(model)
                await respond_in_parts(receive, send, first, parts, JSON, headers)
                span.answered()


class HealthCheck:
    """200 while a check passes, with an empty body or this JSON, else 503."""

    def __init__(
        self,
        service: Service,
        check: Callable[[], Awaitable[None]],
        *,
        while_draining: bool,
        content: bytes = b"",
    ) -> None:
        self._lifecycle = service.lifecycle
        self._check = check
        self._while_draining = while_draining
        self._content = content

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del scope, receive
        try:
            if self._lifecycle.draining and not self._while_draining:
                raise Unhealthy
            await self._check()
        except Unhealthy as error:
            await respond(send, error.status, render_error(error), JSON, [])
        else:
            await respond(send, 200, self._content, JSON if self._content else None, [])


class ConstantJson:
    """A JSON answer that never changes."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del scope, receive
        await respond(send, 200, self._content, JSON, [])


class JsonOnDemand:
    """A JSON answer that never changes, made when it is first asked for."""

    def __init__(self, make: Callable[[], bytes]) -> None:
        self._made = cache(make)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del scope, receive
        await respond(send, 200, self._made(), JSON, [])


class MetricsText:
    """All metrics in Prometheus' text format."""

    def __init__(self, service: Service) -> None:
        self._metrics = service.metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del scope, receive
        await respond(send, 200, self._metrics.render().encode(), TEXT, [])


def _in_time(service: Service, scope: Scope) -> contextlib.AbstractAsyncContextManager[None]:
    """Return a block that ends when the client's deadline passes, if it set one, and counts that.

    Raises: BadTimeout.
    """
    seconds = seconds_allowed(scope)
    return _UNLIMITED if seconds is None else _within(service, seconds)


@contextlib.asynccontextmanager
async def _within(service: Service, seconds: float) -> AsyncIterator[None]:
    try:
        async with deadline(seconds):
            yield
    except DeadlineExceeded as error:
        service.metrics.count("te_request_failure", f'err="{error.metric_label}"')
        raise


async def _respond_error(
    send: Send,
    error: UnreadableRequest | ServiceError | ClientGone,
    render: Callable[[ServiceError], bytes],
    span: RequestSpan,
    unreadable: Callable[[UnreadableRequest], tuple[bytes, bytes]] = as_text,
) -> None:
    if isinstance(error, ClientGone):
        logger.debug("the client went away before its answer")
    elif isinstance(error, UnreadableRequest):
        await respond(send, error.status, *unreadable(error), [])
    else:
        span.failed(error)
        headers: RawHeaders = [(b"retry-after", b"1")] if error.status == 429 else []
        await respond(send, error.status, render(error), JSON, headers)
