"""A connection of HTTP/2: Hypercorn's protocol on a transport that HTTP/1.x began with."""

import asyncio
import contextlib
import logging
import math

from hypercorn.asyncio.task_group import TaskGroup
from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.events import Closed, Event, RawData, Updated
from hypercorn.typing import AppWrapper, ConnectionState
from hypercorn.utils import parse_socket_addr

from app.wire.alarm import Alarm
from app.wire.connections import Shared, has_unread, quiet
from app.wire.http2.protocol import PoliteHTTP2, Unasked
from app.wire.stall import while_it_flows

logger = logging.getLogger(__name__)

READ_BYTES = 64 * 1024  # at a time
LINGER_SECONDS = 2.0  # silence after which a client that has its last answer is dropped


class Http2Connection:
    """Reads, writes and times out an HTTP/2 connection, from its preface on."""

    def __init__(
        self,
        shared: Shared,
        app: AppWrapper,
        context: WorkerContext,
        transport: asyncio.Transport,
        begun: bytes,
    ) -> None:
        """Take over a transport from which the bytes `begun` were read."""
        self._shared = shared
        self._app = app
        self._context = context
        self._loop = asyncio.get_running_loop()
        self._reader = asyncio.StreamReader(loop=self._loop)
        streams = asyncio.StreamReaderProtocol(self._reader, loop=self._loop)
        transport.set_protocol(streams)
        streams.connection_made(transport)
        self._transport = transport
        self._writer = asyncio.StreamWriter(transport, streams, self._reader, self._loop)
        if begun:
            self._reader.feed_data(begun)
        self._writing = asyncio.Lock()
        self._is_fresh = True  # no request has come yet
        self._idle_since: float | None = self._loop.time()  # None while a request is answered
        self._has_ended = False  # on this side: incoming bytes are dropped
        self._alarm = Alarm(self._writer.close)  # rings after LINGER_SECONDS of silence
        self._last_call = math.inf  # when the client must be gone
        self._protocol: PoliteHTTP2
        shared.connections.enter(self)
        self._task = self._loop.create_task(self._run())

    def make_room(self) -> None:
        """Close, since another connection needs the place."""
        self._writer.close()

    def end(self) -> None:
        """Do nothing: `_watch` ends the connection, and says goodbye first."""

    def cut(self) -> None:
        """Close at once, whatever is lost."""
        self._task.cancel()
        self._transport.abort()

    async def _run(self) -> None:
        try:
            async with TaskGroup(self._loop) as group:
                self._protocol = self._begin(group)
                await self._protocol.initiate()
                watch = self._loop.create_task(self._watch())
                try:
                    await self._read()
                finally:
                    watch.cancel()
        except OSError:
            pass  # the client is gone
        except Exception:  # otherwise the error would be lost
            logger.exception("a connection ended with an error")
        finally:
            self._alarm.stop()
            self._shared.connections.leave(self)
            await self._close()

    def _begin(self, group: TaskGroup) -> PoliteHTTP2:
        raw = self._writer.get_extra_info("socket")
        return PoliteHTTP2(
            self._app,
            self._shared.config,
            self._context,
            group,
            ConnectionState(self._shared.state),
            self._writer.get_extra_info("ssl_object") is not None,
            parse_socket_addr(raw.family, self._writer.get_extra_info("peername")),
            parse_socket_addr(raw.family, self._writer.get_extra_info("sockname")),
            self._send,
        )

    async def _read(self) -> None:
        while not self._reader.at_eof():
            try:
                data = await self._reader.read(READ_BYTES)
            except OSError:
                break
            if self._has_ended:
                self._alarm.set(min(self._loop.time() + LINGER_SECONDS, self._last_call))
            else:
                await self._protocol.handle(RawData(data))
        await self._protocol.handle(Closed())

    async def _send(self, event: Event) -> None:
        if isinstance(event, RawData):
            await self._write(event.data)
        elif isinstance(event, Updated):
            self._is_fresh = isinstance(event, Unasked)
            self._idle_since = self._loop.time() if event.idle else None
            self._shared.connections.mark(self, idle=event.idle)
        elif isinstance(event, Closed):
            self._half_close()

    async def _write(self, data: bytes) -> None:
        async with self._writing:
            try:
                with while_it_flows(
                    self._shared.config.client_timeout_seconds,
                    self._transport.get_write_buffer_size,
                    self._transport.abort,
                ):
                    self._writer.write(data)
                    await self._writer.drain()
            except (ConnectionError, RuntimeError):
                await self._protocol.handle(Closed())

    def _half_close(self) -> None:
        """End this side, and read on until the client has ended its own."""
        if self._has_ended:
            return
        self._has_ended = True
        with contextlib.suppress(OSError, RuntimeError):
            if self._writer.can_write_eof():
                self._writer.write_eof()
        self._shared.connections.mark(self, idle=True)
        now = self._loop.time()
        self._last_call = now + self._shared.config.client_timeout_seconds
        self._alarm.set(min(now + LINGER_SECONDS, self._last_call))

    async def _watch(self) -> None:
        """Close when nothing came for too long, or the server ends; never with bytes unread."""
        ending = self._context.terminated
        while not self._has_ended:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(ending.wait(), self._patience())
            if ending.is_set() and self._idle_since is None:
                return  # its protocol closes it after the last answer
            since = self._idle_since
            if since is None or not (ending.is_set() or self._patience() <= 0):
                continue
            await quiet(lambda: 0)
            if self._idle_since == since and not has_unread(self._transport):
                await self._protocol.say_goodbye()
                await self._protocol.handle(Closed())
                self._half_close()

    def _patience(self) -> float:
        """Return the seconds until the idle timeout, or at least until it may begin."""
        config = self._shared.config
        limit = config.client_timeout_seconds if self._is_fresh else config.keep_alive_timeout
        return limit if self._idle_since is None else self._idle_since + limit - self._loop.time()

    async def _close(self) -> None:
        """Close, and wait for the client to take the last answer only up to the timeout."""
        seconds = self._shared.config.client_timeout_seconds
        abort = self._loop.call_later(seconds, self._transport.abort)
        self._writer.close()
        try:
            with contextlib.suppress(OSError, RuntimeError):
                await self._writer.wait_closed()
        finally:
            abort.cancel()
