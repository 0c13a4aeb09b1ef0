"""Transport: reading a request from ASGI, and answering it, without objects on the way."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from starlette.types import Receive, Scope, Send

from app.errors import (
    BadTimeout,
    BodyTimeout,
    ClientGone,
    DeadlineExceeded,
    Overloaded,
    PayloadTooLarge,
    UnsupportedMediaType,
)

T = TypeVar("T")
RawHeaders = list[tuple[bytes, bytes]]
Reserve = Callable[[int], None]  # bytes for an answer, of what all requests may hold

# Ours, and what Envoy tells a service of its route's timeout.
TIMEOUT_HEADERS = (b"x-request-timeout-ms", b"x-envoy-expected-rq-timeout-ms")
JSON = b"application/json"
TEXT = b"text/plain; charset=utf-8"
# Up to here an answer is sent whole, with its length.
WHOLE_BYTES = 512 * 1024


def header(scope: Scope, name: bytes) -> bytes | None:
    """The first header of that (lower-case) name."""
    return next((value for key, value in scope["headers"] if key == name), None)


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """What request bodies may cost."""

    bytes_each: int
    bytes_together: int
    seconds: float


class Bodies:
    """Reads request bodies, and bounds what they take together while they are held.

    Where one may be larger than all together, there is room for one such beside the others: else
    it would be refused as long as there are any.
    """

    def __init__(self, limits: BodyLimits) -> None:
        self._limits = limits
        beside = limits.bytes_each if limits.bytes_each > limits.bytes_together else 0
        self.total = limits.bytes_together + beside
        self.free = self.total

    @contextlib.contextmanager
    def holding(self) -> Iterator["Share"]:
        """The bytes of one request, until the end of the block."""
        share = Share(self)
        try:
            yield share
        finally:
            self.free += share.held

    async def read_json(self, scope: Scope, receive: Receive, share: "Share") -> bytes:
        """The whole body of a request that declares JSON.

        Raises: UnsupportedMediaType; PayloadTooLarge or Overloaded as soon as too many bytes are
        declared or have come; BodyTimeout; ClientGone.
        """
        if not _is_json(header(scope, b"content-type")):
            raise UnsupportedMediaType
        declared = header(scope, b"content-length")
        if declared is not None and declared.isdigit():
            if int(declared) > self._limits.bytes_each:
                raise PayloadTooLarge
            if int(declared) > self.free:
                raise Overloaded
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
    """What one request holds of the bytes that all may hold; both methods raise Overloaded."""

    def __init__(self, bodies: Bodies) -> None:
        self._bodies = bodies
        self.held = 0

    def take(self, size: int) -> None:
        """Hold so many more."""
        if size > self._bodies.free:
            raise Overloaded
        self._bodies.free -= size
        self.held += size

    def reserve(self, size: int) -> None:
        """Hold so many for an answer, or half of what is not its own already, if that is less.

        So none is too large for ever: alone it always finds as many.
        """
        self.take(min(size, (self._bodies.total - self.held) // 2))


def deadline(scope: Scope) -> contextlib.AbstractAsyncContextManager[None]:
    """Let a block take as long as the request's headers allow; it raises DeadlineExceeded.

    Raises: BadTimeout.
    """
    seconds = _seconds_allowed(scope)
    return contextlib.nullcontext() if seconds is None else _within(seconds)


async def unless_gone(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, which is cancelled when the client goes away; the body must be read.

    Raises: ClientGone, and whatever `work` raises.
    """
    task = asyncio.current_task()
    assert task is not None
    watcher = asyncio.create_task(_cancel_when_gone(receive, task))
    try:
        return await work
    except asyncio.CancelledError:
        if watcher.done() and not watcher.cancelled():
            task.uncancel()
            raise ClientGone from None
        raise
    finally:
        watcher.cancel()


async def respond(
    send: Send, status: int, content: bytes, media_type: bytes | None, headers: RawHeaders
) -> None:
    """Send a whole answer; `headers` are added to the two that describe the content."""
    start: RawHeaders = [(b"content-length", b"%d" % len(content)), *headers]
    if media_type is not None:
        start.insert(0, (b"content-type", media_type))
    await send({"type": "http.response.start", "status": status, "headers": start})
    await send({"type": "http.response.body", "body": content})


async def respond_in_parts(
    receive: Receive, send: Send, parts: Iterable[bytes], headers: RawHeaders
) -> None:
    """Send a JSON answer; a large one as it is rendered, so that all of it is never in memory.

    Others have their turn between two parts, and a client that reads slowly is waited for.

    Raises: ClientGone, after which nothing more is rendered.
    """
    async with contextlib.aclosing(_in_turn(parts)) as rest:
        await respond_with_rest(receive, send, await beginning(rest), rest, headers)


async def beginning(parts: AsyncIterator[bytes]) -> bytes:
    """The first parts of an answer: all of them, or more than WHOLE_BYTES."""
    first, size = [], 0
    async for part in parts:
        first.append(part)
        size += len(part)
        if size > WHOLE_BYTES:
            break
    return b"".join(first)


async def respond_with_rest(
    receive: Receive, send: Send, first: bytes, rest: AsyncIterator[bytes], headers: RawHeaders
) -> None:
    """Send a JSON answer whose `beginning` is there; the rest as it comes.

    Raises: ClientGone, after which nothing more is asked of the rest.
    """
    if len(first) <= WHOLE_BYTES:
        await respond(send, 200, first, JSON, headers)
        return
    start = [(b"content-type", JSON), *headers]
    await send({"type": "http.response.start", "status": 200, "headers": start})
    await unless_gone(receive, _send_parts(send, first, rest))
    await send({"type": "http.response.body", "body": b""})  # its end looks like a client's going


@contextlib.asynccontextmanager
async def _within(seconds: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise DeadlineExceeded from None


async def _in_turn(parts: Iterable[bytes]) -> AsyncGenerator[bytes, None]:
    """The same parts; others have their turn between two."""
    is_first = True
    for part in parts:
        if not is_first:
            await asyncio.sleep(0)
        yield part
        is_first = False


async def _send_parts(send: Send, first: bytes, rest: AsyncIterator[bytes]) -> None:
    await send({"type": "http.response.body", "body": first, "more_body": True})
    async for part in rest:
        await send({"type": "http.response.body", "body": part, "more_body": True})


async def _cancel_when_gone(receive: Receive, task: "asyncio.Task[Any]") -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    task.cancel()


def _seconds_allowed(scope: Scope) -> float | None:
    for name in TIMEOUT_HEADERS:
        value = header(scope, name)
        if value is not None:
            if not (value.isdigit() and len(value) < 10):
                raise BadTimeout(name.decode())
            return int(value) / 1000
    return None


def _is_json(content_type: bytes | None) -> bool:
    essence = (content_type or b"").split(b";", 1)[0].strip().lower()
    return essence == JSON or (essence.startswith(b"application/") and essence.endswith(b"+json"))
