"""Correlation: ties a request to its caller's records by an id and perhaps a trace."""

import itertools
import re
import secrets
from collections.abc import Iterator

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.telemetry.tracing import read_trace_parent

REQUEST_ID = b"x-request-id"
TRACE_PARENT = b"traceparent"
_SANE = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._~:/+=@-]{0,127}")


class Correlation:
    """Gives each request its id, which its answer and its log line carry.

    The id is the caller's own if that is short and plain, else a new one. Inner applications find
    it in the scope as `request_id`, and the caller's span as `trace_parent`.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._ids = new_ids()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = correlate(scope, self._ids)

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (REQUEST_ID, request_id)]
            await send(message)

        await self._app(scope, receive, send_with_id)


def correlate(scope: Scope, ids: Iterator[bytes]) -> bytes:
    """Add a request's id and its caller's span to its scope; return the id."""
    given = parent = None
    for name, value in scope["headers"]:
        if name == REQUEST_ID:
            given = given or value
        elif name == TRACE_PARENT:
            parent = parent or value
    request_id: bytes = given if given and _SANE.fullmatch(given) else next(ids)
    scope["request_id"] = request_id.decode()
    scope["trace_parent"] = read_trace_parent(parent) if parent else None
    return request_id


def new_ids() -> Iterator[bytes]:
    """Return ids that no other process makes: 8 random bytes of its own, and a count."""
    process = secrets.token_hex(8).encode()
    return (b"%b%016x" % (process, number) for number in itertools.count(1))
