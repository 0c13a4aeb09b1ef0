"""Pure ASGI middleware around the whole application; the last one in `wrap` is the outermost."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.http.correlation import Correlation
from app.api.http.paths import path_of
from app.api.http.transport import RawHeaders, header, respond
from app.lifecycle import Lifecycle
from app.telemetry.metrics import Metrics, labels

MAX_HEADERS = 100
MAX_HEADER_BYTES = 64 * 1024

CLOSE = (b"connection", b"close")
_FRAMINGS = frozenset({b"content-length", b"transfer-encoding"})  # both would be ambiguous
_NO_BODY = (b"content-length", b"0")
_VARY = (
    b"vary",
    b"origin, access-control-request-method, access-control-request-headers",
)


@dataclass(frozen=True, slots=True)
class Browsers:
    """The permissions that CORS gives to web pages."""

    origins: Sequence[str] = ()  # that may call; any if empty
    send_key: bool = False  # whether calls carry a key


def wrap(app: ASGIApp, lifecycle: Lifecycle, metrics: Metrics, browsers: Browsers) -> ASGIApp:
    """Put every middleware around the application."""
    app = ExactPath(app)
    app = Cors(app, browsers)
    app = HeaderLimits(app)
    app = DrainBody(app)
    app = InFlight(app, lifecycle)
    app = Responses(app, metrics)
    return Correlation(app)


class Responses:
    """Counts answers by path and status; all unknown paths count as one."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def count_and_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                path = scope["path"] if "endpoint" in scope else "other"
                status = str(message["status"])
                self._metrics.count("te_http_response_count", labels(path=path, status=status))
            await send(message)

        await self._app(scope, receive, count_and_send)


class InFlight:
    """Counts requests in flight; while draining, tells each client to close its connection.

    A request that is cut off at the end of a shutdown stays in the count, as lost.
    """

    def __init__(self, app: ASGIApp, lifecycle: Lifecycle) -> None:
        self._app = app
        self._lifecycle = lifecycle

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        is_whole = not _may_have_body(scope)
        is_answered = False  # afterwards the rest of its body is still read, but not counted

        async def count_and_receive() -> Message:
            nonlocal is_whole
            message = await receive()
            if not (is_whole or is_answered) and message["type"] == "http.request":
                is_whole = not message.get("more_body", False)
                if is_whole:
                    self._lifecycle.in_flight += 1
            return message

        async def send_closing(message: Message) -> None:
            if message["type"] == "http.response.start" and self._lifecycle.draining:
                message["headers"] = _closing(message["headers"])
            await send(message)

        self._lifecycle.accepted += 1
        if is_whole:
            self._lifecycle.in_flight += 1
        is_lost = False
        try:
            await self._app(scope, count_and_receive, send_closing)
        except asyncio.CancelledError:
            is_lost = self._lifecycle.draining
            raise
        finally:
            is_answered = True
            if is_whole and not is_lost:
                self._lifecycle.in_flight -= 1


class DrainBody:
    """Reads the rest of an HTTP/2 body if the application answered without it.

    Hypercorn 0.18 queues ten chunks of a request for the application; if it answers without reading
    them, all requests of the connection wait forever. HTTP/1.x is our own, and reads on.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._drains: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["http_version"] != "2":
            await self._app(scope, receive, send)
            return
        is_read = False

        async def watch_receive() -> Message:
            nonlocal is_read
            message = await receive()
            is_read = is_read or not message.get("more_body", False)
            return message

        async def drain_unread(message: Message) -> None:
            if message["type"] == "http.response.start" and not is_read and _may_have_body(scope):
                drain = asyncio.create_task(_drain(receive))
                self._drains.add(drain)
                drain.add_done_callback(self._drains.discard)
            await send(message)

        await self._app(scope, watch_receive, drain_unread)


class HeaderLimits:
    """Refuses heads that are too large (431) or that could smuggle a request (400)."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = scope["headers"]
            size, framings = 0, set()
            for name, value in headers:
                size += len(name) + len(value)
                if name in _FRAMINGS:
                    framings.add(name)
            if len(headers) > MAX_HEADERS or size > MAX_HEADER_BYTES:
                await respond(send, 431, b"", None, [CLOSE])
                return
            if len(framings) > 1:
                await respond(send, 400, b"", None, [CLOSE])
                return
        await self._app(scope, receive, send)


class ExactPath:
    """Takes a path as it was written: `/%65mbed` is not `/embed`, as in TEI, nor for a proxy."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            scope["path"] = path_of(scope["raw_path"].decode("latin-1"))
        await self._app(scope, receive, send)


class Cors:
    """CORS as TEI has it: on every response, and for OPTIONS on any path, known or not.

    If a key is needed, pages may send it; TEI omits that.
    """

    def __init__(self, app: ASGIApp, browsers: Browsers) -> None:
        self._app = app
        self._origins = frozenset(origin.encode() for origin in browsers.origins)
        self._any = not self._origins or b"*" in self._origins
        headers = b"content-type,authorization" if browsers.send_key else b"content-type"
        self._preflight: RawHeaders = [
            (b"access-control-allow-methods", b"GET,POST"),
            (b"access-control-allow-headers", headers),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        common = self._headers(scope)
        if scope["method"] == "OPTIONS":
            allowed = await self._allowed(scope, receive)
            await respond(send, 200, b"", None, [*allowed, *common, *self._preflight])
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *common]
            await send(message)

        await self._app(scope, receive, send_with_headers)

    async def _allowed(self, scope: Scope, receive: Receive) -> RawHeaders:
        """Return the Allow header of a path that refuses OPTIONS; none if there is no such path."""
        found: RawHeaders = []

        async def look(message: Message) -> None:
            found.extend(one for one in message.get("headers", ()) if one[0] == b"allow")

        await self._app(dict(scope), receive, look)
        return found

    def _headers(self, scope: Scope) -> RawHeaders:
        if self._any:
            return [_VARY, (b"access-control-allow-origin", b"*")]
        origin = header(scope, b"origin")
        if origin is None or origin not in self._origins:
            return [_VARY]
        return [_VARY, (b"access-control-allow-origin", origin)]


def _closing(headers: RawHeaders) -> RawHeaders:
    return headers if CLOSE in headers else [*headers, CLOSE]


def _may_have_body(scope: Scope) -> bool:
    if scope["http_version"] == "2" and scope["method"] == "POST":
        return True  # HTTP/2 needs no header for that
    return any(name in _FRAMINGS and (name, value) != _NO_BODY for name, value in scope["headers"])


async def _drain(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
