"""Connections: how many there are, which of them are idle, and how all of them end."""

import asyncio
import contextlib
import fcntl
import logging
import termios
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from hypercorn.config import Config
from starlette.types import ASGIApp

from app.wire.answers import now

logger = logging.getLogger(__name__)

TURN_SECONDS = 0.02
QUIET_TURNS = 5
QUIET_LIMIT_SECONDS = 2.0
MOST_REFUSED = 16  # connections over the limit that may stay at a time to read their refusal


class Member(Protocol):
    """An open connection of any protocol."""

    def make_room(self) -> None:
        """Close while idle, since another connection needs its place."""

    def end(self) -> None:
        """Close if idle, since the server ends."""

    def cut(self) -> None:
        """Close at once, whatever is lost."""


class Connections:
    """The open connections; over the limit, the one that has been idle longest is closed."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._open: dict[Member, None] = {}
        self._idle: dict[Member, None] = {}  # the first has been idle longest
        self._refused = 0
        self._none_open = asyncio.Event()
        self._none_open.set()
        self.ending = False  # if so, every answer is its connection's last

    def enter(self, connection: Member) -> bool:
        """Take a place, if there is one or can be; the connection is idle at first."""
        if len(self._open) >= self._limit and not self._close_one():
            return False
        self._open[connection] = None
        self._none_open.clear()
        self.mark(connection, idle=True)
        return True

    def leave(self, connection: Member) -> None:
        """Give the place back."""
        self._open.pop(connection, None)
        self._idle.pop(connection, None)
        if not self._open:
            self._none_open.set()

    def mark(self, connection: Member, *, idle: bool) -> None:
        """Note whether a connection is idle, so that it may be closed."""
        self._idle.pop(connection, None)
        if idle and connection in self._open:
            self._idle[connection] = None

    def refuse(self) -> bool:
        """Count a connection without a place; return whether it may stay to read its refusal."""
        self._refused += 1
        return self._refused <= MOST_REFUSED

    def forget_refused(self) -> None:
        """Count one refused connection less."""
        self._refused -= 1

    async def end(self, seconds: float) -> None:
        """End each connection as soon as it is idle; cut those still open after `seconds`.

        Call once the port is closed.
        """
        self.ending = True
        await asyncio.sleep(TURN_SECONDS)  # for connections accepted just before
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._open:
                    await quiet(lambda: 0)
                    self._end_each()
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._none_open.wait(), TURN_SECONDS)
        for connection in list(self._open):
            connection.cut()
        await self._none_open.wait()

    def _end_each(self) -> None:
        for connection in list(self._open):
            try:
                connection.end()
            except Exception:  # one must not keep the others from ending
                logger.exception("a connection ended with an error")
                connection.cut()

    def _close_one(self) -> bool:
        victim = next(iter(self._idle), None)
        if victim is None:
            return False
        self.leave(victim)
        victim.make_room()
        return True


class ServerConfig(Config):
    """Hypercorn's options and ours."""

    client_timeout_seconds: float

    def response_headers(self, protocol: str) -> list[tuple[bytes, bytes]]:
        """Send only `Date`, and do not reveal the server software."""
        del protocol
        return [(b"date", now())]


@dataclass(frozen=True, slots=True)
class Shared:
    """The state that all connections of a server share."""

    app: ASGIApp
    config: ServerConfig
    connections: Connections
    state: dict[str, Any] = field(default_factory=dict)  # from the lifespan


def has_unread(transport: asyncio.WriteTransport) -> bool:
    """Check for bytes that the event loop has not read: closing would lose a request."""
    if transport.is_closing():
        return False  # its socket may be gone
    count = bytearray(4)
    with contextlib.suppress(OSError):
        fcntl.ioctl(transport.get_extra_info("socket").fileno(), termios.FIONREAD, count)
    return any(count)


async def quiet(count: Callable[[], int]) -> None:
    """Return once the bytes already on the wire have been read, or after QUIET_LIMIT_SECONDS.

    It is quiet after several turns in a row without a change of `count`, each of them on time.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + QUIET_LIMIT_SECONDS
    turns = 0
    while turns < QUIET_TURNS and loop.time() < end:
        before, started = count(), loop.time()
        await asyncio.sleep(TURN_SECONDS)
        on_time = loop.time() - started < 2 * TURN_SECONDS
        turns = turns + 1 if on_time and count() == before else 0
