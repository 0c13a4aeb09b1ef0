"""Streams: the messages of a call as they come, and their work side by side, answered in order."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Protocol, Self

import grpc.aio
from grpc import StatusCode

from app.rpc.statuses import CallRefused

Turn = Callable[[], Awaitable[None]]  # returns once every message before has ended
Work = Callable[[bytes, Turn], Awaitable[None]]


class Context(Protocol):
    """The part of grpc's context that reads."""

    async def read(self) -> bytes:
        """Return the next message, or grpc.aio.EOF."""


class Incoming:
    """The messages of one call; reading may be stopped, as when the service ends."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._limit: asyncio.Timeout | None = None  # of the read in progress
        self.is_stopped = False
        self.seconds: float | None = None  # seconds that a stream may take between messages

    def stop(self) -> None:
        """Read no further, as if the last message had come."""
        self.is_stopped = True
        if self._limit is not None:
            self._limit.reschedule(asyncio.get_running_loop().time())

    async def only(self, seconds: float, reading: asyncio.Semaphore) -> bytes:
        """Return the only message of a call; `reading` bounds the calls that read at a time.

        Raises: CallRefused if it does not come, or not in time.
        """
        try:
            async with asyncio.timeout(seconds), reading:
                message = await self._context.read()
        except TimeoutError:
            raise _too_slow() from None
        if message is grpc.aio.EOF:
            raise CallRefused(StatusCode.INTERNAL, "Missing request message.")
        return message

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if self.is_stopped:
            raise StopAsyncIteration
        try:
            async with asyncio.timeout(self.seconds) as self._limit:
                message = await self._context.read()
        except TimeoutError:
            raise StopAsyncIteration if self.is_stopped else _too_slow() from None
        finally:
            self._limit = None
        if message is grpc.aio.EOF:
            raise StopAsyncIteration
        return message


def _too_slow() -> CallRefused:
    return CallRefused(StatusCode.DEADLINE_EXCEEDED, "the message came too slowly")


class Room:
    """The bounds on one stream's messages in work: their number, and roughly their bytes."""

    def __init__(self, messages: int, size: int) -> None:
        self._messages = messages
        self._bytes = size
        self._freed = asyncio.Event()

    async def free(self) -> None:
        """Return once there is room for one more message."""
        while self._messages <= 0 or self._bytes <= 0:
            self._freed.clear()
            await self._freed.wait()

    def hold(self, messages: int, size: int) -> None:
        """Have more in work; less if these are negative."""
        self._messages -= messages
        self._bytes -= size
        self._freed.set()


async def in_order(messages: AsyncIterator[bytes], work: Work, room: Room) -> None:
    """Work on messages side by side; each has its turn when those before have ended.

    Raises what the first message that fails raises, in its turn; the work on others is cancelled.
    """

    async def one(message: bytes, before: asyncio.Event, after: asyncio.Event) -> None:
        async def turn() -> None:
            await before.wait()

        try:
            await work(message, turn)
        except Exception:  # whatever failed, it ends the stream in its turn
            await turn()
            raise
        await turn()
        after.set()
        room.hold(-1, -len(message))

    try:
        async with asyncio.TaskGroup() as group:
            before = asyncio.Event()
            before.set()
            async for message in messages:
                after = asyncio.Event()
                room.hold(1, len(message))
                group.create_task(one(message, before, after))
                before = after
                await room.free()
    except ExceptionGroup as failed:  # the first failure counts
        raise failed.exceptions[0] from None
