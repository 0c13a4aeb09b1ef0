"""Form: how the requests of a path are written, and its answers: JSON, or what a protocol adds."""

from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple, Protocol

from starlette.types import Receive, Scope

from app.api.http.byte_budget import Bodies, Share
from app.api.http.transport import TEXT, header
from app.api.verbs.output.representation import Representation, represented
from app.api.verbs.rendering import render_error
from app.api.verbs.verb import Request, Verb
from app.errors import ServiceError, UnreadableRequest
from app.inference.computing import Computed
from app.inference.served_model import ServedModel


class Posted(NamedTuple):
    """A body that was read: the verb that it asks for, and its JSON."""

    verb: Verb
    json: bytes
    beside: int = 0  # bytes that the verb reads beside the JSON


class Form(Protocol):
    """The wire format of a path's requests and answers."""

    async def read(self, bodies: Bodies, scope: Scope, receive: Receive, share: Share) -> bytes:
        """Read the whole body of a request; raises UnreadableRequest, Overloaded, ClientGone."""

    def posted(self, scope: Scope, content: bytes, /) -> Posted:
        """Return what a body holds; raises UnreadableRequest, ServiceError."""

    def represented(
        self, scope: Scope, verb: Verb, model: ServedModel, request: Request[Any], computed: Any, /
    ) -> Representation:
        """Return an answer as it is sent."""

    def render_error(self, error: ServiceError) -> bytes:
        """Return the JSON answer that reports an error before there is a verb."""

    def unreadable(self, error: UnreadableRequest) -> tuple[bytes, bytes]:
        """Return the answer to a request that cannot be read, and its media type."""


def as_text(error: UnreadableRequest) -> tuple[bytes, bytes]:
    """Return TEI's answer to a request that cannot be read, and its media type."""
    return str(error).encode(), TEXT


class JsonForm:
    """JSON, declared as such, for the verb that `choose` finds for a body."""

    def __init__(self, choose: Callable[[bytes], Verb]) -> None:
        self.choose = choose
        self.unreadable = as_text
        self.render_error = render_error

    def read(
        self, bodies: Bodies, scope: Scope, receive: Receive, share: Share
    ) -> Coroutine[Any, Any, bytes]:
        return bodies.read_json(scope, receive, share)

    def posted(self, _: Scope, content: bytes, /) -> Posted:
        return Posted(self.choose(content), content)

    def represented(
        self,
        scope: Scope,
        verb: Verb,
        model: ServedModel,
        request: Request[Any],
        computed: Computed[Any],
        /,
    ) -> Representation:
        """Return the answer as octets if the request asks for these, else as JSON."""
        return represented(header(scope, b"accept"), verb, model, request, computed)
