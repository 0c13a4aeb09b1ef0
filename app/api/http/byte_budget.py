"""Byte budget: the bytes that all requests may hold together, in bodies and answers."""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from starlette.types import Receive, Scope

from app.api.http.transport import JSON, header
from app.errors import (
    BatchTooLarge,
    BodyTimeout,
    ClientGone,
    Overloaded,
    PayloadTooLarge,
    UnsupportedMediaType,
)
from app.options.settings import Settings

SMALL_BYTES = 64 * 1024  # bytes of an answer: a connection's buffers hold as much anyway


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """The limits of request bodies."""

    bytes_each: int
    bytes_together: int
    seconds: float

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the limits of these settings."""
        return cls(
            bytes_each=settings.payload_limit,
            bytes_together=settings.max_concurrent_bytes,
            seconds=settings.client_timeout_seconds,
        )


class Bodies:
    """Reads request bodies, and bounds the bytes they hold together.

    If one body may be larger than the bound on all, there is room for one such beside the others:
    otherwise it would be refused as long as there are any.
    """

    def __init__(self, limits: BodyLimits) -> None:
        self._limits = limits
        beside = limits.bytes_each if limits.bytes_each > limits.bytes_together else 0
        self.total = limits.bytes_together + beside
        self.free = self.total

    def holding(self) -> "Share":
        """Return the share of one request: a block, at whose end it is released."""
        return Share(self)

    def read_json(
        self, scope: Scope, receive: Receive, share: "Share"
    ) -> Coroutine[Any, Any, bytes]:
        """Read the whole body of a request that declares JSON.

        Raises: UnsupportedMediaType; PayloadTooLarge or Overloaded as soon as too many bytes are
        declared or have come; BodyTimeout; ClientGone.
        """
        if not _is_json(header(scope, b"content-type")):
            raise UnsupportedMediaType("Expected request with `Content-Type: application/json`")
        return self.read(scope, receive, share)

    async def read(self, scope: Scope, receive: Receive, share: "Share") -> bytes:
        """Read the whole body of a request, whatever it is declared to be.

        Raises: what `read_json` does, but UnsupportedMediaType.
        """
        declared = header(scope, b"content-length")
        if declared is not None and declared.isdigit():
            if int(declared) > self._limits.bytes_each:
                raise PayloadTooLarge
            if int(declared) > self.free:
                raise Overloaded
        if scope.get("is_whole"):  # as HTTP/1.x says of nearly every short body: it needs no timer
            return await self._read(receive, share)
        try:
            async with asyncio.timeout(self._limits.seconds):
                return await self._read(receive, share)
        except TimeoutError:
            raise BodyTimeout from None

    async def _read(self, receive: Receive, share: "Share") -> bytes:
        parts: list[bytes] = []
        size = 0
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            part = message.get("body", b"")
            size += len(part)
            if size > self._limits.bytes_each:
                raise PayloadTooLarge
            share.take(len(part))
            parts.append(part)
            more = message.get("more_body", False)
        return b"".join(parts)


class Share:
    """The bytes that one request holds of those for all, until the end of its block."""

    __slots__ = ("_bodies", "_promised", "held")

    def __init__(self, bodies: Bodies) -> None:
        self._bodies = bodies
        self._promised = 0  # held bytes that are kept for later reservations
        self.held = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        self._bodies.free += self.held

    def take(self, size: int) -> None:
        """Hold `size` more bytes for the body.

        Raises: Overloaded.
        """
        if size > self._bodies.free:
            raise Overloaded
        self._bodies.free -= size
        self.held += size

    def reserve(self, size: int) -> None:
        """Hold `size` more for what is made of the body, or half of all bytes not its own, if less.

        So no request is always too large: alone it always finds that much. A quarter of all bytes
        stays for others, so that bodies find room beside any number of answers that are read
        slowly. Up to SMALL_BYTES are never refused, since the body was not.

        Raises: Overloaded.
        """
        self._reserve(min(size, (self._bodies.total - self.held) // 2))

    def promise(self, size: int) -> None:
        """Reserve `size`, of which later reservations are, so that these are not refused.

        Raises: Overloaded.
        """
        before = self.held
        self.reserve(size)
        self._promised = self.held - before

    def demand(self, size: int) -> None:
        """Hold as `reserve` does, but all of it, for what is in memory as a whole.

        Raises: Overloaded; BatchTooLarge if not even an idle service has that many.
        """
        most = self._bodies.total * 3 // 4
        if self.held + size > most:
            raise BatchTooLarge(
                f"all instances and their answers take more than {most} bytes; "
                "--max-concurrent-bytes raises it"
            )
        self._reserve(size)

    def gather(self, size: int) -> None:
        """Hold `size` more of what comes over time, all of it: a quarter of all bytes stays.

        Raises: Overloaded.
        """
        if size > self._bodies.free - self._bodies.total // 4:
            raise Overloaded
        self.take(size)

    def keep(self, size: int) -> None:
        """Hold exactly `size` bytes from now on."""
        self._bodies.free += self.held - size
        self.held = size
        self._promised = 0

    def _reserve(self, size: int) -> None:
        promised = min(size, self._promised)
        self._promised -= promised
        size -= promised
        if size > max(SMALL_BYTES, self._bodies.free - self._bodies.total // 4):
            raise Overloaded
        self._bodies.free -= size
        self.held += size


def _is_json(content_type: bytes | None) -> bool:
    essence = (content_type or b"").split(b";", 1)[0].strip().lower()
    return essence == JSON or (essence.startswith(b"application/") and essence.endswith(b"+json"))
