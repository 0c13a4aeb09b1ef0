"""Exchange: one request of HTTP/1.x and its answer, as the application sees them."""

import asyncio
import logging
from typing import Any, Protocol
from urllib.parse import unquote

from starlette.types import ASGIApp, Message, Scope

from app.errors import BrokenBody
from app.wire.answers import Asked, head, in_chunks
from app.wire.http1.heads import Head

logger = logging.getLogger(__name__)


class Wire(Protocol):
    """The connection of an exchange."""

    def want_body(self) -> None:
        """Ask for more of the body: everything that arrived has been read."""

    def may_keep(self) -> bool:
        """Return whether another request may follow this answer; called once, before its head."""

    async def write(self, data: bytes) -> None:
        """Send; return when there is room for more."""

    def answered(self, *, keeps: bool) -> None:
        """Note that the answer has been sent."""

    def abort(self) -> None:
        """Cut the connection, so that the client sees that the answer is incomplete."""


class Exchange:
    """ASGI's two functions for one request."""

    def __init__(self, wire: Wire, request: Head) -> None:
        self._wire = wire
        self._request = request
        self._asked = Asked(request.version, request.method == b"HEAD")
        self._parts: list[bytes] = []  # of the body, not yet read by the application
        self.held = 0  # bytes of them
        self._is_whole = False  # the whole body has come
        self._is_read = False  # the application has read its end
        self._fault: BrokenBody | None = None
        self._is_gone = False  # the client sends nothing more
        self._is_over = False  # the answer has been sent, or cannot be
        self._changed: asyncio.Event | None = None  # once something was waited for
        self._start: Message | None = None
        self._in_chunks = self._keeps = self._has_head = False

    def feed(self, content: bytes, *, is_whole: bool) -> None:
        """Add a part of the body that has come."""
        if content:
            self._parts.append(content)
            self.held += len(content)
        self._is_whole = is_whole
        self._wake()

    def fail(self, status: int) -> None:
        """Note that the body cannot be read any further."""
        self._fault = BrokenBody(status)
        self._wake()

    def leave(self) -> None:
        """Note that the client has ended its side; it may still read the answer."""
        self._is_gone = True
        self._wake()

    def end(self) -> None:
        """Note that the answer has been sent, or cannot be, and free the unread body."""
        self._is_over = self._is_gone = True
        self._parts.clear()
        self.held = 0
        self._wake()

    async def run(self, app: ASGIApp, scope: Scope) -> None:
        """Have the application answer, and end the answer in any case."""
        try:
            await app(scope, self._receive, self._send)
        except Exception:  # the client must get an end in any case
            logger.exception("a request ended with an error")
        if self._is_over:
            return
        if self._start is None:
            await self._send({"type": "http.response.start", "status": 500, "headers": _EMPTY})
            await self._send({"type": "http.response.body"})
        else:
            self._wire.abort()

    async def _receive(self) -> Message:
        while True:
            if self._fault is not None and not self._is_gone:
                raise self._fault
            if self._parts or (self._is_whole and not self._is_read):
                content = b"".join(self._parts)
                self._parts.clear()
                self.held = 0
                self._is_read = self._is_whole
                return {
                    "type": "http.request",
                    "body": content,
                    "more_body": not self._is_whole,
                }
            if self._is_gone:
                return {"type": "http.disconnect"}
            if not self._is_whole:
                self._wire.want_body()
            if self._changed is None:
                self._changed = asyncio.Event()
            self._changed.clear()
            await self._changed.wait()

    def _wake(self) -> None:
        """Let a waiting receive look again."""
        if self._changed is not None:
            self._changed.set()

    async def _send(self, message: Message) -> None:
        kind = message["type"]
        if kind == "http.response.start" and self._start is None:
            self._start = message
        elif kind == "http.response.body" and self._start is not None:
            if not self._is_over:
                more = message.get("more_body", False)
                await self._send_body(self._start, message.get("body", b""), more=more)
        else:
            raise RuntimeError(f"{kind} does not follow here")

    async def _send_body(self, start: Message, content: bytes, *, more: bool) -> None:
        data = b""
        if not self._has_head:
            self._has_head = True
            headers = start["headers"]
            closes = (b"connection", b"close") in headers or start["status"] == 408
            self._keeps = self._wire.may_keep() and not closes
            if self._asked.version == "1.0" and not _has_length(headers):
                self._keeps = False
            data, self._in_chunks = head(self._asked, start["status"], headers, keeps=self._keeps)
        if not self._asked.is_head:
            data += in_chunks(content, more=more) if self._in_chunks else content
        if data:
            await self._wire.write(data)
        if not more and not self._is_over:
            self.end()
            self._wire.answered(keeps=self._keeps)


_EMPTY = [(b"content-length", b"0")]


def _has_length(headers: list[tuple[bytes, bytes]]) -> bool:
    return any(name == b"content-length" for name, _ in headers)


def scope_of(request: Head, connection: Scope, *, is_whole: bool) -> Scope:
    """Return the ASGI scope of a request on a connection, and whether its whole body has come."""
    path, _, query = request.target.partition(b"?")
    return {
        **connection,
        "http_version": request.version,
        "method": request.method.decode(),
        "path": unquote(path.decode()),
        "raw_path": path,
        "query_string": query,
        "headers": request.headers,
        "state": connection["state"].copy(),
        "extensions": {},
        "is_whole": is_whole,  # not of ASGI: its body is read without waiting
    }


def base_scope(transport: asyncio.BaseTransport, state: dict[str, Any]) -> dict[str, Any]:
    """Return what the scopes of all requests on a connection share."""
    return {
        "type": "http",
        "asgi": {"spec_version": "2.1", "version": "3.0"},
        "scheme": "http" if transport.get_extra_info("ssl_object") is None else "https",
        "root_path": "",
        "client": _address(transport.get_extra_info("peername")),
        "server": _address(transport.get_extra_info("sockname")),
        "state": state,
    }


def _address(name: Any) -> tuple[str, int] | None:
    return name[:2] if isinstance(name, tuple) else None
