"""A client that disconnects: its work is cancelled, and nothing else is."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from starlette.types import Message

from app.api.http.client_gone import unless_gone
from app.errors import ClientGone

Receive = Callable[[], Awaitable[Message]]


def receiver(*messages: str, gone: asyncio.Event) -> Receive:
    """Return a receiver of these messages, and of a disconnect once the client has gone."""
    left = list(messages)

    async def receive() -> Message:
        if left:
            return {"type": left.pop(0)}
        await gone.wait()
        return {"type": "http.disconnect"}

    return receive


def test_work_whose_client_stays_is_done() -> None:
    async def work() -> str:
        await asyncio.sleep(0)
        return "done"

    async def scenario() -> tuple[str, int]:
        found = await unless_gone(receiver("http.request", gone=asyncio.Event()), work())
        await asyncio.sleep(0)
        return found, len(asyncio.all_tasks())

    assert asyncio.run(scenario()) == ("done", 1)  # no watcher is left


def test_work_whose_client_leaves_is_cancelled() -> None:
    async def scenario() -> bool:
        gone, cancelled = asyncio.Event(), asyncio.Event()

        async def work() -> None:
            gone.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.set()
                raise

        with pytest.raises(ClientGone):
            await unless_gone(receiver(gone=gone), work())
        task = asyncio.current_task()
        assert task is not None
        assert not task.cancelling()  # the task itself goes on
        return cancelled.is_set()

    assert asyncio.run(scenario())


def test_a_cancellation_from_elsewhere_stays_one() -> None:
    async def scenario() -> None:
        stays = asyncio.Event()
        waiting = unless_gone(receiver(gone=stays), asyncio.Event().wait())
        task = asyncio.create_task(waiting)
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(scenario())


def test_errors_of_the_work_are_raised() -> None:
    async def work() -> None:
        raise ValueError("its own")

    async def scenario() -> None:
        await unless_gone(receiver(gone=asyncio.Event()), work())

    with pytest.raises(ValueError, match="its own"):
        asyncio.run(scenario())
