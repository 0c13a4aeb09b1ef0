"""Streams: in order, bounded, and ended where a message fails."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from functools import partial
from typing import Any

import grpc.aio
import pytest

from app.rpc.statuses import CallRefused
from app.rpc.streams import Incoming, Room, Turn, in_order
from tests.support.held_runs import until


async def messages(every: Iterable[int]) -> AsyncIterator[bytes]:
    for one in every:
        yield b"%d" % one


class Worker:
    """Work that ends when it is released."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.ended: list[int] = []
        self.cancelled: list[int] = []
        self.gates: dict[int, asyncio.Future[None]] = {}

    async def __call__(self, message: bytes, turn: Turn) -> None:
        one = int(message)
        self.begun.append(one)
        gate = self.gates[one] = asyncio.get_running_loop().create_future()
        try:
            await gate
            await turn()
        except asyncio.CancelledError:
            self.cancelled.append(one)
            raise
        self.ended.append(one)

    def has_begun(self, one: int) -> bool:
        return one in self.begun

    def let_go(self, one: int, error: Exception | None = None) -> None:
        if error is None:
            self.gates[one].set_result(None)
        else:
            self.gates[one].set_exception(error)


def play(scenario: Callable[[Worker], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(scenario(Worker()), 30))


def working(worker: Worker, count: int, room: Room | None = None) -> "asyncio.Task[None]":
    room = room or Room(100, 1_000_000)
    return asyncio.create_task(in_order(messages(range(count)), worker, room))


def test_each_ends_in_its_turn() -> None:
    async def scenario(worker: Worker) -> None:
        stream = working(worker, 3)
        await until(lambda: len(worker.begun) == 3)
        for one in (2, 0, 1):
            worker.let_go(one)
        await stream
        assert worker.ended == [0, 1, 2]

    play(scenario)


def test_messages_in_work_are_bounded() -> None:
    async def scenario(worker: Worker) -> None:
        stream = working(worker, 5, Room(2, 1_000))
        await until(lambda: worker.begun == [0, 1])
        worker.let_go(1)  # it is done, but it is not its turn
        for _ in range(50):
            await asyncio.sleep(0)
        assert worker.begun == [0, 1]
        worker.let_go(0)
        await until(lambda: worker.begun == [0, 1, 2, 3])
        for one in (2, 3):
            worker.let_go(one)
        await until(lambda: 4 in worker.begun)
        worker.let_go(4)
        await stream

    play(scenario)


def test_bytes_in_work_are_bounded_as_well() -> None:
    async def scenario(worker: Worker) -> None:
        stream = working(worker, 3, Room(100, 1))
        for one in range(3):
            await until(partial(worker.has_begun, one))
            assert len(worker.begun) == one + 1
            worker.let_go(one)
        await stream

    play(scenario)


def test_a_failure_ends_the_stream_in_its_turn() -> None:
    async def scenario(worker: Worker) -> None:
        stream = working(worker, 4)
        await until(lambda: len(worker.begun) == 4)
        worker.let_go(2, ValueError("two"))
        worker.let_go(1, ValueError("one"))
        for _ in range(50):
            await asyncio.sleep(0)
        assert not stream.done()  # the messages before it have not ended
        worker.let_go(0)
        with pytest.raises(ValueError, match="one"):
            await stream
        assert worker.ended == [0]
        assert worker.cancelled == [3]

    play(scenario)


def test_a_stream_that_is_cancelled_drops_its_work() -> None:
    async def scenario(worker: Worker) -> None:
        stream = working(worker, 3)
        await until(lambda: len(worker.begun) == 3)
        stream.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stream
        assert sorted(worker.cancelled) == [0, 1, 2]

    play(scenario)


class Context:
    """gRPC's context, for a client that sends what it is told to."""

    def __init__(self, *sent: Any) -> None:
        self._sent = list(sent)

    async def read(self) -> Any:
        if not self._sent:
            await asyncio.get_running_loop().create_future()
        return self._sent.pop(0)


def test_a_stopped_stream_reads_no_further() -> None:
    async def scenario(_: Worker) -> None:
        incoming = Incoming(Context(b"a", b"b"))
        assert await anext(incoming) == b"a"
        waiting = Incoming(Context())
        reading = asyncio.create_task(anext(waiting))
        await asyncio.sleep(0)
        for one in (incoming, waiting):
            one.stop()
            assert one.is_stopped
        with pytest.raises(StopAsyncIteration):
            await anext(incoming)
        [ended] = await asyncio.gather(reading, return_exceptions=True)
        assert isinstance(ended, BaseException)

    play(scenario)


@pytest.mark.parametrize(
    ("sent", "code"), [((), "DEADLINE_EXCEEDED"), ((grpc.aio.EOF,), "INTERNAL")]
)
def test_a_message_that_does_not_come_ends_its_call(sent: tuple[Any, ...], code: str) -> None:
    async def scenario(_: Worker) -> None:
        with pytest.raises(CallRefused) as caught:
            await Incoming(Context(*sent)).only(0.01, asyncio.Semaphore(1))
        assert caught.value.code.name == code

    play(scenario)


def test_messages_read_at_a_time_are_bounded() -> None:
    async def scenario(_: Worker) -> None:
        reading = asyncio.Semaphore(1)
        first = asyncio.create_task(Incoming(Context()).only(60, reading))
        await asyncio.sleep(0)
        with pytest.raises(CallRefused):
            await Incoming(Context(b"a")).only(0.01, reading)
        first.cancel()
        assert await Incoming(Context(b"a")).only(60, reading) == b"a"

    play(scenario)
