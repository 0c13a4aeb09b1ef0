"""Line: the transport of a connection, how long it waits for a client, and how it ends."""

import asyncio
import math
from collections.abc import Callable

from app.wire.alarm import Alarm
from app.wire.connections import ServerConfig, has_unread
from app.wire.stall import while_it_flows

LINGER_SECONDS = 2.0  # for which a client that has its answer may say nothing


class Line:
    """What is read and written of one connection; `ring` is called when nothing came in time."""

    def __init__(
        self, transport: asyncio.Transport, config: ServerConfig, ring: Callable[[], None]
    ) -> None:
        self.transport = transport
        self._config = config
        self._loop = asyncio.get_running_loop()
        self._alarm = Alarm(ring)
        self._is_paused = False  # nothing is read
        self._taken: asyncio.Event | None = None  # while the client takes too little
        self._last_call = math.inf  # when a lingering client has to be gone

    @property
    def is_http2(self) -> bool:
        """Whether client and server have agreed on HTTP/2, as TLS lets them."""
        tls = self.transport.get_extra_info("ssl_object")
        return tls is not None and tls.selected_alpn_protocol() == "h2"

    @property
    def has_unread(self) -> bool:
        """Whether something has come that nobody has read yet."""
        return has_unread(self.transport)

    async def write(self, data: bytes) -> None:
        """Send; return when there is room for more, or abort if the client takes nothing."""
        if self.transport.is_closing():
            return
        self.transport.write(data)
        if self._taken is not None:
            with while_it_flows(
                self._config.client_timeout_seconds,
                self.transport.get_write_buffer_size,
                self.transport.abort,
            ):
                await self._taken.wait()

    def fill(self) -> None:
        """The client takes less than is sent."""
        self._taken = asyncio.Event()

    def drain(self) -> None:
        """There is room again, or nobody to send to."""
        if self._taken is not None:
            self._taken.set()
            self._taken = None

    def pause(self, is_paused: bool) -> None:
        """Read no more, or read again."""
        if is_paused is self._is_paused or self.transport.is_closing():
            return
        self._is_paused = is_paused
        if is_paused:
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()

    def expect(self, seconds: float) -> None:
        """Ring unless something comes in time."""
        self._alarm.set(self._loop.time() + seconds)

    def expect_soon(self) -> None:
        """Ring unless something comes within the time that a client has for small things."""
        self.expect(LINGER_SECONDS)

    def expect_nothing(self) -> None:
        """Do not ring."""
        self._alarm.set(math.inf)

    def stop(self) -> None:
        """Never ring again."""
        self._alarm.stop()

    def linger(self) -> None:
        """Say that this was all, and read on until the client has closed its side too.

        Else the kernel resets a connection whose client still sends, and the client never reads
        the answer (RFC 9112, section 9.6).
        """
        self._last_call = self._loop.time() + self._config.client_timeout_seconds
        if self.transport.is_closing():
            return
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.pause(False)
        self.linger_on()

    def linger_on(self) -> None:
        """Give a client that still sends a little more time, but not for ever."""
        self._alarm.set(min(self._loop.time() + LINGER_SECONDS, self._last_call))

    def close(self) -> None:
        """Close, but do not wait for ever until the client has taken the last answer."""
        if not self.transport.is_closing():
            self.transport.close()
            self.expect(self._config.client_timeout_seconds)
