"""Line: the transport of a connection, its timeouts, and how it ends."""

import asyncio
import math
from collections.abc import Callable

from app.wire.alarm import Alarm
from app.wire.connections import ServerConfig, has_unread
from app.wire.stall import while_it_flows

LINGER_SECONDS = 2.0  # silence after which a lingering client is dropped


class Line:
    """Reads, writes and timeouts of one connection; `ring` is called when nothing came in time."""

    def __init__(
        self, transport: asyncio.Transport, config: ServerConfig, ring: Callable[[], None]
    ) -> None:
        self.transport = transport
        self._config = config
        self._loop = asyncio.get_running_loop()
        self._alarm = Alarm(ring)
        self._is_paused = False  # reading
        self._taken: asyncio.Event | None = None  # set while the client reads too slowly
        self._last_call = math.inf  # when a lingering client must be gone

    @property
    def is_http2(self) -> bool:
        """True if client and server have agreed on HTTP/2 by TLS."""
        tls = self.transport.get_extra_info("ssl_object")
        return tls is not None and tls.selected_alpn_protocol() == "h2"

    @property
    def has_unread(self) -> bool:
        """True if bytes have arrived that the event loop has not read."""
        return has_unread(self.transport)

    async def write(self, data: bytes) -> None:
        """Send; return when there is room for more, or abort if the client has stalled."""
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
        """Note that the write buffer is full."""
        self._taken = asyncio.Event()

    def drain(self) -> None:
        """Note that there is room in the write buffer again, or no one to write to."""
        if self._taken is not None:
            self._taken.set()
            self._taken = None

    def pause(self, is_paused: bool) -> None:
        """Pause or resume reading."""
        if is_paused is self._is_paused or self.transport.is_closing():
            return
        self._is_paused = is_paused
        if is_paused:
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()

    def expect(self, seconds: float) -> None:
        """Ring unless something comes within `seconds`."""
        self._alarm.set(self._loop.time() + seconds)

    def expect_soon(self) -> None:
        """Ring unless something comes within LINGER_SECONDS."""
        self.expect(LINGER_SECONDS)

    def expect_nothing(self) -> None:
        """Do not ring."""
        self._alarm.set(math.inf)

    def stop(self) -> None:
        """Never ring again."""
        self._alarm.stop()

    def linger(self) -> None:
        """End this side of the connection, and read on until the client ends its own.

        Otherwise the kernel resets a connection whose client still sends, and the client never
        reads the answer (RFC 9112, section 9.6).
        """
        self._last_call = self._loop.time() + self._config.client_timeout_seconds
        if self.transport.is_closing():
            return
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.pause(False)
        self.linger_on()

    def linger_on(self) -> None:
        """Give a client that still sends a little more time, but not forever."""
        self._alarm.set(min(self._loop.time() + LINGER_SECONDS, self._last_call))

    def close(self) -> bool:
        """Close, though not at once for a slow client; return whether all was sent."""
        if self.transport.is_closing():
            return False
        is_sent = self.transport.get_write_buffer_size() == 0
        self.transport.close()
        self.expect(self._config.client_timeout_seconds)
        return is_sent
