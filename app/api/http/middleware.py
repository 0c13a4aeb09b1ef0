"""Middleware: what every request passes on its way in, and its answer on its way out.

One application around all others: each layer of its own would be entered again at every step of
every request.
"""

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.http.correlation import REQUEST_ID, TRACE_PARENT, RequestIds
from app.api.http.paths import path_of
from app.api.http.transport import JSON, RawHeaders, respond
from app.lifecycle import Lifecycle
from app.telemetry.metrics import Metrics, labels
from app.telemetry.tracing import read_trace_parent

MAX_HEADERS = 100
MAX_HEADER_BYTES = 64 * 1024

CLOSE = (b"connection", b"close")
_INTERNAL_ERROR = b'{"error":"internal error","error_type":"Backend"}'
_VARY = (
    b"vary",
    b"origin, access-control-request-method, access-control-request-headers",
)

UNKNOWN_PATHS = "other"  # all count as one

First = Mapping[bytes, bytes]  # the first header of each name


@dataclass(frozen=True, slots=True)
class Browsers:
    """The permissions that CORS gives to web pages."""

    origins: Sequence[str] = ()  # origins that may call; any if empty
    send_key: bool = False  # whether calls carry a key


def wrap(app: ASGIApp, lifecycle: Lifecycle, metrics: Metrics, browsers: Browsers) -> ASGIApp:
    """Put the middleware around the application."""
    return Middleware(app, lifecycle, metrics, Cors(browsers))


class Middleware:
    """Identifies, bounds and counts requests, and lets them pass to the application.

    A path counts as it was written: `/%65mbed` is not `/embed`, as in TEI, nor for a proxy. While
    draining, each client is told to close its connection; a request that is cut off at the end of a
    shutdown stays in the count of those in flight, as lost. An error of ours is answered without
    details, and raised for the server to log.
    """

    def __init__(self, app: ASGIApp, lifecycle: Lifecycle, metrics: Metrics, cors: "Cors") -> None:
        self._app = app
        self._lifecycle = lifecycle
        self._metrics = metrics
        self._cors = cors
        self._ids = RequestIds()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        first = scope["first_headers"] = dict(reversed(scope["headers"]))
        parent = first.get(TRACE_PARENT)
        scope["path"] = path_of(scope["raw_path"].decode("latin-1"))
        scope["request_id"] = self._ids.of(first.get(REQUEST_ID)).decode()
        scope["trace_parent"] = read_trace_parent(parent) if parent else None
        passage = _Passage(self._lifecycle, self._metrics, scope, receive, send)
        status = refusal(scope, first)
        passage.headers = self._cors.headers(first) if status is None else [CLOSE]
        is_lost = False
        passage.begin(is_whole=not may_have_body(scope, first))
        try:
            if status is not None:
                await respond(passage.send, status, b"", None, [])
            elif scope["method"] == "OPTIONS":
                await self._preflight(scope, passage)
            else:
                await self._app(scope, passage.receive, passage.send)
        except asyncio.CancelledError:
            is_lost = self._lifecycle.draining
            raise
        except Exception:  # a fault of ours, told without details
            if not passage.has_answer:
                await respond(passage.send, 500, _INTERNAL_ERROR, JSON, [])
            raise
        finally:
            passage.end(is_lost=is_lost)

    async def _preflight(self, scope: Scope, passage: "_Passage") -> None:
        """Answer OPTIONS, on any path, known or not."""
        found: RawHeaders = []

        async def look(message: Message) -> None:  # for what the path allows
            found.extend(one for one in message.get("headers", ()) if one[0] == b"allow")

        await self._app(dict(scope), passage.receive, look)
        passage.headers += self._cors.preflight
        await respond(passage.send, 200, b"", None, found)


class _Passage:
    """One request on its way in, and its answer on its way out."""

    __slots__ = (
        "_is_over",
        "_is_whole",
        "_lifecycle",
        "_metrics",
        "_receive",
        "_scope",
        "_send",
        "has_answer",
        "headers",
    )

    def __init__(
        self,
        lifecycle: Lifecycle,
        metrics: Metrics,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        self._lifecycle = lifecycle
        self._metrics = metrics
        self._scope = scope
        self._receive = receive
        self._send = send
        self._is_whole = False  # all of its body has come, so that it is in flight
        self._is_over = False  # the rest of its body may still be read, but is not counted
        self.headers: RawHeaders = []  # headers that its answer gets, whatever it is
        self.has_answer = False  # whether its answer has begun

    def begin(self, *, is_whole: bool) -> None:
        """Count the request, and if it is whole, as one in flight."""
        self._lifecycle.accepted += 1
        self._is_whole = is_whole
        if is_whole:
            self._lifecycle.in_flight += 1

    def end(self, *, is_lost: bool) -> None:
        """Count it as in flight no more, unless it was cut off."""
        self._is_over = True
        if self._is_whole and not is_lost:
            self._lifecycle.in_flight -= 1

    async def receive(self) -> Message:
        message = await self._receive()
        if not (self._is_whole or self._is_over) and message["type"] == "http.request":
            self._is_whole = not message.get("more_body", False)
            if self._is_whole:
                self._lifecycle.in_flight += 1
        return message

    def send(self, message: Message) -> Awaitable[None]:
        if message["type"] == "http.response.start":
            self.has_answer = True
            headers = message["headers"] = [*message["headers"], *self.headers]
            if self._lifecycle.draining and CLOSE not in headers:
                headers.append(CLOSE)
            headers.append((REQUEST_ID, self._scope["request_id"].encode()))
            path = self._scope["path"] if "endpoint" in self._scope else UNKNOWN_PATHS
            self._metrics.count("te_http_response_count", _counted_as(path, message["status"]))
        return self._send(message)


class Cors:
    """The headers of CORS, as TEI has them on every response.

    If a key is needed, pages may send it; TEI omits that.
    """

    def __init__(self, browsers: Browsers) -> None:
        self._origins = frozenset(origin.encode() for origin in browsers.origins)
        self._any = not self._origins or b"*" in self._origins
        headers = b"content-type,authorization" if browsers.send_key else b"content-type"
        self.preflight: RawHeaders = [
            (b"access-control-allow-methods", b"GET,POST"),
            (b"access-control-allow-headers", headers),
        ]

    def headers(self, first: First) -> RawHeaders:
        """Return the headers of the answer to a request with these."""
        if self._any:
            return [_VARY, (b"access-control-allow-origin", b"*")]
        origin = first.get(b"origin")
        if origin is None or origin not in self._origins:
            return [_VARY]
        return [_VARY, (b"access-control-allow-origin", origin)]


@lru_cache(maxsize=1024)
def _counted_as(path: str, status: int) -> str:
    """Return the labels that an answer is counted under."""
    return labels(path=path, status=str(status))


def refusal(scope: Scope, first: First) -> int | None:
    """Return the status that refuses a head which is too large, or could smuggle a request."""
    headers = scope["headers"]
    if len(headers) > MAX_HEADERS or sum(map(len, chain.from_iterable(headers))) > MAX_HEADER_BYTES:
        return 431
    if b"content-length" in first and b"transfer-encoding" in first:  # it would be ambiguous
        return 400
    return None


def may_have_body(scope: Scope, first: First) -> bool:
    """Check whether a body may follow the head; HTTP/2 needs no header for that."""
    if b"transfer-encoding" in first or first.get(b"content-length", b"0") != b"0":
        return True
    return bool(scope["http_version"] == "2" and scope["method"] == "POST")
