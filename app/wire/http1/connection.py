"""HTTP/1.x: a connection from its first byte to its last, on llhttp.

A connection is always in one of the states of `states`; every change goes through its table. This
module alone handles the places that connections take, timeouts of slow clients, bounds of heads and
bodies, backpressure of answers, and the end of the server.
"""

import asyncio
from collections.abc import Callable
from typing import Any, cast

from app.wire.answers import refusal
from app.wire.connections import Shared
from app.wire.http1 import bodies, heads, states
from app.wire.http1.exchange import Exchange, base_scope, scope_of
from app.wire.http1.inbox import HeadTooLarge, Inbox
from app.wire.http1.line import Line
from app.wire.http1.states import Event, State
from app.wire.http1.uploads import Upload

MAX_HELD = 64 * 1024  # bytes of a body or of further requests that are read ahead
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"

HandOver = Callable[[asyncio.Transport, bytes], None]


class Http1(asyncio.Protocol):
    """One connection."""

    def __init__(self, shared: Shared, hand_over: HandOver) -> None:
        self._shared = shared
        self._hand_over = hand_over  # switches to HTTP/2
        self._line: Line
        self._scope: dict[str, Any]
        self.state = State.IDLE
        self._is_fresh = True  # no request has come yet
        self._has_place = self._is_refused = False
        self._inbox = Inbox()
        self._request: heads.Head
        self._exchange: Exchange
        self._upload: Upload  # of the current request
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        own = cast("asyncio.Transport", transport)  # uvloop's transport is no subclass
        self._line = Line(own, self._shared.config, self._ring)
        self._scope = base_scope(own, self._shared.state)
        self._has_place = self._shared.connections.enter(self)
        if not self._has_place:
            self._is_refused = True
            may_stay = self._shared.connections.refuse()
            self._refuse(429, (b"retry-after", b"1"))
            if not may_stay:
                self._happens(Event.OVERDUE)
        elif self._line.is_http2:
            self._give_away()
        else:
            self._wait()

    def data_received(self, data: bytes) -> None:
        if self.state in states.WAITING:
            self._inbox.add(data)
            self._read_head()
        elif self.state in states.READING:
            self._read_body(data)
        elif self.state is State.LINGER:
            self._line.linger_on()
        else:
            self._inbox.add(data)
            self._line.pause(len(self._inbox) > MAX_HELD)

    def eof_received(self) -> bool:
        is_working = self.state in states.WORKING
        self._happens(Event.EOF)
        if is_working:
            self._exchange.leave()
        return is_working and self._scope["scheme"] == "http"

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        if self.state is State.HTTP2:
            return
        if self.state in states.WORKING:
            self._exchange.end()
        self._happens(Event.LOST)
        self._line.drain()
        self._line.stop()
        if self._is_refused:
            self._shared.connections.forget_refused()
        self._leave_when_done()

    def pause_writing(self) -> None:
        self._line.fill()

    def resume_writing(self) -> None:
        self._line.drain()

    def make_room(self) -> None:
        """Close, since another connection needs the place."""
        self._happens(Event.UNWANTED)

    def end(self) -> None:
        """Close, since the server ends, unless a request is in progress or on its way."""
        if self.state in states.WAITING and not self._line.has_unread:
            self._happens(Event.UNWANTED)

    def cut(self) -> None:
        """Close at once, whatever is lost."""
        if self._task is not None:
            self._task.cancel()
        self.abort()

    def want_body(self) -> None:
        if self._upload.invite():
            self._line.transport.write(CONTINUE)
        self._line.pause(False)

    def may_keep(self) -> bool:
        is_last = self._shared.connections.ending or not self._request.keeps
        return not is_last and self._upload.may_go_on

    async def write(self, data: bytes) -> None:
        await self._line.write(data)

    def answered(self, *, keeps: bool) -> None:
        if self.state not in states.WORKING:
            return
        self._happens(Event.KEPT if keeps and not self._upload.is_broken else Event.LAST)
        if self.state is State.IDLE and self._inbox:
            self._read_head()

    def abort(self) -> None:
        self._line.transport.abort()

    def _read_head(self) -> None:
        """Begin the next request, if its head has come."""
        try:
            head = self._inbox.head()
            if head is None:
                if self._inbox.has_begun:
                    self._happens(Event.BYTES)
            elif head == heads.PREFACE and self._is_fresh:
                self._give_away(head)
            else:
                self._begin(heads.read(head))
        except HeadTooLarge:
            self._refuse(431)
        except heads.Refused as refused:
            self._refuse(refused.status)

    def _begin(self, request: heads.Head) -> None:
        self._request = request
        self._upload = Upload(request)
        self._is_fresh = False
        self._exchange = Exchange(self, request)
        came = self._inbox.take()
        is_whole = request.length is not None and request.length <= len(came)
        scope = scope_of(request, self._scope, is_whole=is_whole)
        run = self._exchange.run(self._shared.app, scope)
        self._task = asyncio.get_running_loop().create_task(run)
        self._happens(Event.REQUESTED if is_whole else Event.OPENED)
        if came or is_whole:
            self._read_body(came)

    def _read_body(self, data: bytes) -> None:
        is_wanted = self.state is not State.REST
        try:
            content, rest = self._upload.feed(data, is_wanted=is_wanted)
        except bodies.Broken as broken:
            if is_wanted:
                self._exchange.fail(broken.status)
            self._happens(Event.BROKEN)
            return
        is_whole = self._upload.is_whole
        if is_wanted:
            self._exchange.feed(content, is_whole=is_whole)
            self._line.pause(not is_whole and self._exchange.held > MAX_HELD)
        if is_whole:
            self._inbox.add(rest)
            if self.state in states.READING:
                self._happens(Event.COMPLETED)
            if self.state is State.IDLE and rest:
                self._read_head()

    def _refuse(self, status: int, *headers: tuple[bytes, bytes]) -> None:
        self._line.transport.write(refusal(status, *headers))
        self._happens(Event.REFUSED)

    def _leave_when_done(self) -> None:
        if self._task is not None and not self._task.done():
            self._task.add_done_callback(self._leave)  # until then it is using the model
        else:
            self._leave()

    def _leave(self, _: object = None) -> None:
        self._inbox.take()  # free it now, and not when the collector runs
        if self._has_place:
            self._shared.connections.leave(self)

    def _give_away(self, head: bytes = b"") -> None:
        """Hand the connection and its place over to HTTP/2."""
        self._happens(Event.PREFACE)
        self._line.stop()
        self._shared.connections.leave(self)
        self._hand_over(self._line.transport, head + self._inbox.take())

    def _happens(self, event: Event) -> None:
        """Change to the state that follows the event, and act on it."""
        before, self.state = self.state, states.after(self.state, event)
        if self.state is before:
            return
        if self.state in states.WAITING:
            self._wait()
        elif self.state is State.REST:
            self._line.pause(False)
            self._line.expect_soon()
        elif self.state is State.LINGER:
            self._inbox.take()
            self._line.linger()
        else:
            self._line.expect_nothing()
            closes = self.state is State.CLOSED and event is not Event.LOST
            if closes and self._line.close():
                self._leave_when_done()
        if self._has_place:
            self._shared.connections.mark(self, idle=self.state in states.IDLING)

    def _wait(self) -> None:
        """Wait for a request, up to a timeout."""
        config = self._shared.config
        is_new = self._is_fresh or self.state is State.HEAD
        limit = config.client_timeout_seconds if is_new else config.keep_alive_timeout
        if not (self._is_fresh and self.state is State.HEAD):  # its timeout is already running
            self._line.expect(limit)
        self._line.pause(False)

    def _ring(self) -> None:
        """Handle a timeout: nothing came in time."""
        if self.state is State.CLOSED:
            self.abort()
        elif self.state in states.WAITING and self._line.has_unread:
            self._line.expect_soon()  # not the client but this server is slow
        else:
            self._happens(Event.OVERDUE)
