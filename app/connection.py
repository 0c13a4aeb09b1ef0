"""Connections: Hypercorn's, made to end with their clients and bounded in number and patience."""

import asyncio
import contextlib
import fcntl
import logging
import termios
import time
from collections.abc import Callable, Iterator
from email.utils import formatdate
from functools import lru_cache

from hypercorn.asyncio.tcp_server import MAX_RECV, TCPServer
from hypercorn.events import Closed, Event, RawData, Updated

from app.patience import while_it_flows
from app.protocols import PatientConfig, PoliteHTTP2, Unasked

logger = logging.getLogger(__name__)

TURN_SECONDS = 0.02
QUIET_TURNS = 5
QUIET_LIMIT_SECONDS = 2.0
LINGER_SECONDS = 2.0  # for which a client that has its last answer may say nothing
MOST_REFUSED = 16  # connections at a time that are beyond the limit, and heard out
TAKEN = 32 * 1024  # bytes that a connection takes at once, whatever its client does

REFUSAL = (
    b"HTTP/1.1 429 Too Many Requests\r\nretry-after: 1\r\ncontent-length: 0\r\n"
    b"connection: close\r\n\r\n"
)


class Connections:
    """The open connections; where there are too many, the one that idles longest goes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._open = 0
        self._refused = 0
        self._none_open = asyncio.Event()
        self._none_open.set()
        self._idle: dict[PoliteTCPServer, None] = {}  # the first has idled longest

    @contextlib.contextmanager
    def admitted(self, connection: "PoliteTCPServer") -> Iterator[bool]:
        """Whether there is room for one more, which lasts as long as the block."""
        if self._open >= self._limit and not self._close_one():
            yield False
            return
        self._open += 1
        self._none_open.clear()
        self.mark(connection, idle=True)
        try:
            yield True
        finally:
            self._open -= 1
            if self._open == 0:
                self._none_open.set()
            self.mark(connection, idle=False)

    @contextlib.contextmanager
    def refused(self) -> Iterator[bool]:
        """Whether a connection without room may stay until it has read so, as long as the block."""
        self._refused += 1
        try:
            yield self._refused <= MOST_REFUSED
        finally:
            self._refused -= 1

    async def all_closed(self) -> None:
        """Return when none is open any more; the port must be closed."""
        await asyncio.sleep(TURN_SECONDS)  # one may have been taken just before, and not begun
        await self._none_open.wait()

    def mark(self, connection: "PoliteTCPServer", *, idle: bool) -> None:
        """Note whether a connection waits for a request, and may be closed."""
        self._idle.pop(connection, None)
        if idle:
            self._idle[connection] = None

    def _close_one(self) -> bool:
        victim = next(iter(self._idle), None)
        if victim is None:
            return False
        del self._idle[victim]
        victim.writer.close()
        return True


class ServerConfig(PatientConfig):
    """Hypercorn's options and ours."""

    connections: Connections

    def response_headers(self, protocol: str) -> list[tuple[bytes, bytes]]:
        """The date alone: whose server this is is nobody's business."""
        del protocol
        return [(b"date", _date(int(time.time())))]


class PoliteTCPServer(TCPServer):
    """A connection that ends when its client ends it, with no request and no answer unread.

    Hypercorn 0.18 holds an idle connection that its client closed until the keep-alive time is
    over: at 100 clients a second that is 31,000 open files. And at shutdown it closes a connection
    that looks idle at once, although a request may lie unread in its buffer. It also waits without
    limit for a client to send its first request, or to take an answer. It closes right behind its
    last answer: where the client still sends, the kernel then resets the connection, and the
    client never reads that answer (RFC 9112, section 9.6). For each request it makes two tasks to
    watch the idle time, and writes the head of an answer apart from its body. And an error in one
    connection while it shuts down ends the process as if it had failed.
    """

    config: ServerConfig
    is_fresh = True  # no request came yet
    idle_since: float | None = None  # by the loop's clock; None while a request is answered
    head = b""  # of an answer: it leaves with what follows it
    has_answered = False  # for the last time: what still comes is dropped
    dropped = 0  # times that something came after that

    async def run(self) -> None:
        with self.config.connections.admitted(self) as has_room:
            try:
                if has_room:
                    self.idle_since = self.loop.time()
                    await super().run()
                else:
                    await self._refuse()
            except OSError:
                pass  # its client is gone
            except asyncio.CancelledError:
                pass  # it outlasted the shutdown, which says what was lost
            except Exception:  # else it would end the whole server at its shutdown
                logger.exception("a connection ended with an error")

    async def protocol_send(self, event: Event) -> None:
        data, self.head = self.head, b""
        if isinstance(event, RawData):
            if is_head(event.data):
                self.head = event.data
                return
            data += event.data
        if data:
            await self._write(data)
        if isinstance(event, Updated):
            self.is_fresh = isinstance(event, Unasked)
            self.idle_since = self.loop.time() if event.idle else None
            self.config.connections.mark(self, idle=event.idle)
        elif isinstance(event, Closed):
            await (self._close() if self.reader.at_eof() else self._half_close())

    async def _write(self, data: bytes) -> None:
        transport = self.writer.transport
        flows: contextlib.AbstractContextManager[None] = contextlib.nullcontext()
        if transport.get_write_buffer_size() + len(data) > TAKEN:
            patience = self.config.client_timeout_seconds
            flows = while_it_flows(patience, transport.get_write_buffer_size, transport.abort)
        with flows:
            await super().protocol_send(RawData(data))

    async def _read_data(self) -> None:
        while not self.reader.at_eof():
            try:
                data = await self.reader.read(MAX_RECV)
            except OSError:
                break
            if self.has_answered:
                self.dropped += 1
            else:
                await self.protocol.handle(RawData(data))
        await self.protocol.handle(Closed())
        await self.idle_task.stop()

    async def _refuse(self) -> None:
        with self.config.connections.refused() as may_stay:
            self.writer.write(REFUSAL)
            self.writer.write_eof()
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(LINGER_SECONDS if may_stay else 0):
                    while await self.reader.read(MAX_RECV):
                        pass
            await self._close()

    async def _half_close(self) -> None:
        """Say that this was all, and read on until the client has closed its side too."""
        if self.has_answered:
            return
        self.has_answered = True
        with contextlib.suppress(OSError, RuntimeError):
            self.writer.write_eof()
        task = asyncio.current_task()
        if task is not None and task.cancelling():  # it outlasted the shutdown
            self.writer.close()
            return
        self.config.connections.mark(self, idle=True)
        await self.idle_task.restart(self._task_group, self._linger)

    async def _linger(self) -> None:
        """Close once the client has been silent for a while, or had time enough to end."""
        before = -1
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.config.client_timeout_seconds):
                while before < self.dropped:
                    before = self.dropped
                    await asyncio.sleep(LINGER_SECONDS)
        self._task_group.spawn(self._close)  # which ends this task

    async def _idle_timeout(self) -> None:
        """Close once nothing came for too long, or at the server's end; not with bytes unread.

        One task lasts as long as the connection: a new one for each pause would cost each request.
        """
        terminated = self.context.terminated
        while not (terminated.is_set() and self.idle_since is None):  # Hypercorn closes that one
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(terminated.wait(), self._patience())
            since = self.idle_since
            if since is None or not (terminated.is_set() or self._patience() <= 0):
                continue
            await quiet(lambda: 0)
            if self.idle_since == since and not has_unread(self.writer.transport):
                await asyncio.shield(self._initiate_server_close())
                return

    def _patience(self) -> float:
        """For how many seconds more, or at least, nothing needs to come."""
        config = self.config
        limit = config.client_timeout_seconds if self.is_fresh else config.keep_alive_timeout
        return limit if self.idle_since is None else self.idle_since + limit - self.loop.time()

    async def _initiate_server_close(self) -> None:
        if isinstance(self.protocol.protocol, PoliteHTTP2):
            await self.protocol.protocol.say_goodbye()
        await super()._initiate_server_close()

    async def _close(self) -> None:
        """Close, but do not wait for ever until the client has taken the last answer."""
        abort = self.loop.call_later(
            self.config.client_timeout_seconds, self.writer.transport.abort
        )
        try:
            await super()._close()
        finally:
            abort.cancel()


@lru_cache(maxsize=1)
def _date(seconds: int) -> bytes:
    """As HTTP writes it (RFC 9110, section 5.6.7)."""
    return formatdate(seconds, usegmt=True).encode()


def is_head(data: bytes) -> bool:
    """Whether an answer begins, of which more comes at once; an informational one has no more."""
    return data.startswith(b"HTTP/1.1 ") and data[9:10] != b"1"


def has_unread(transport: asyncio.WriteTransport) -> bool:
    """Whether bytes came that the event loop has not read: closing would lose a request."""
    if transport.is_closing():
        return False  # its socket may be gone
    count = bytearray(4)
    with contextlib.suppress(OSError):
        fcntl.ioctl(transport.get_extra_info("socket").fileno(), termios.FIONREAD, count)
    return any(count)


async def quiet(count: Callable[[], int]) -> None:
    """Return once what is on the wire has been read, or after QUIET_LIMIT_SECONDS.

    Quiet is a row of turns in which `count` stood still and the event loop woke up in time.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + QUIET_LIMIT_SECONDS
    turns = 0
    while turns < QUIET_TURNS and loop.time() < end:
        before, started = count(), loop.time()
        await asyncio.sleep(TURN_SECONDS)
        on_time = loop.time() - started < 2 * TURN_SECONDS
        turns = turns + 1 if on_time and count() == before else 0
