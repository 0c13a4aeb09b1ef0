"""Client gone: the work of a request is cancelled when its client disconnects.

The cancellation gives its permits back at once and marks its job as abandoned
(`inference.computing`): rows that no batch has taken are dropped (`batching.pending_jobs`), and a
run under way ends unheard.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.types import Receive

from app.errors import ClientGone

T = TypeVar("T")


# Most answers are there after this time, and need no watch over their clients, which has its price.
SOON_SECONDS = 0.02


async def unless_gone(
    receive: Receive, work: Coroutine[Any, Any, T], *, unwatched_seconds: float = 0.0
) -> T:
    """Await `work`, and cancel it if the client disconnects; call once the body has been read.

    The watch over the client begins after `unwatched_seconds`.

    Raises: ClientGone, and whatever `work` raises.
    """
    task = asyncio.current_task()
    assert task is not None
    watch = _Watch(receive, task)
    timer = asyncio.get_running_loop().call_later(unwatched_seconds, watch.begin)
    try:
        return await work
    except asyncio.CancelledError:
        if watch.is_gone:
            task.uncancel()
            raise ClientGone from None
        raise
    finally:
        timer.cancel()
        watch.end()


class _Watch:
    """Cancels a task when its client disconnects."""

    __slots__ = ("_receive", "_task", "_watcher", "is_gone")

    def __init__(self, receive: Receive, task: "asyncio.Task[Any]") -> None:
        self._receive = receive
        self._task = task
        self._watcher: asyncio.Task[None] | None = None
        self.is_gone = False

    def begin(self) -> None:
        self._watcher = asyncio.create_task(self._cancel_when_gone())

    def end(self) -> None:
        watcher, self._watcher = self._watcher, None  # whose traceback would lead back here
        if watcher is not None:
            watcher.cancel()

    async def _cancel_when_gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.is_gone = True
        self._task.cancel()
