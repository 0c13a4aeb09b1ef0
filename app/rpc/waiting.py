"""Waiting: a stream's messages wait for bytes instead of being refused."""

import asyncio

from app.api.http.byte_budget import Share
from app.errors import Overloaded
from app.rpc.streams import Turn

MOMENT_SECONDS = 0.02


class Line:
    """The messages of one stream that wait, first come, first served.

    So those behind never hold what one ahead of them needs, whose end they wait for.
    """

    def __init__(self, seconds: float) -> None:
        """Take how long a message may wait after all before it have ended."""
        self._seconds = seconds
        self._first = asyncio.Lock()

    async def hold(self, share: Share, size: int, most: int, turn: Turn) -> None:
        """Hold the bytes of a message, and the most that it may take beside, once they are free.

        Raises: Overloaded if others than its stream hold them for too long.
        """
        async with self._first:
            left = self._seconds
            while True:
                try:
                    share.take(size)
                    share.promise(most)
                except Overloaded:
                    share.keep(0)
                    if left <= 0:
                        raise
                else:
                    return
                if await _has_come(turn):
                    left -= MOMENT_SECONDS
                    await asyncio.sleep(MOMENT_SECONDS)


async def _has_come(turn: Turn) -> bool:
    """Wait for a moment for those before to end; return whether they have."""
    try:
        async with asyncio.timeout(MOMENT_SECONDS):
            await turn()
    except TimeoutError:
        return False
    return True
