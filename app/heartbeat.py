"""Heartbeat: a process whose event loop stands still ends, so that a supervisor starts another."""

import asyncio
import contextlib
import faulthandler
import logging
import os
import threading
from collections.abc import AsyncIterator

logger = logging.getLogger(__name__)

FAILED = 3  # the exit code that asks a supervisor for a fresh process
BEAT_SECONDS = 1.0
LAST_SECONDS = 2.0  # for the thread that watches, which may be held up by what holds up the loop


@contextlib.asynccontextmanager
async def heartbeat(limit_seconds: float) -> AsyncIterator[None]:
    """Within the block, end the process once the event loop stands still for so long.

    Every thread's stack is printed first. A thread sees to it, with exit code 3; where native code
    keeps all of Python from running, the C library does, which knows no exit code but 1.
    """
    beaten, over = threading.Event(), threading.Event()
    watch = threading.Thread(
        target=_watch, args=(beaten, over, limit_seconds), name="heartbeat", daemon=True
    )
    watch.start()
    beat = asyncio.create_task(_beat(beaten, limit_seconds))
    try:
        yield
    finally:
        over.set()
        beaten.set()
        beat.cancel()
        faulthandler.cancel_dump_traceback_later()


async def _beat(beaten: threading.Event, limit_seconds: float) -> None:
    while True:
        faulthandler.dump_traceback_later(limit_seconds + LAST_SECONDS, exit=True)
        beaten.set()
        await asyncio.sleep(BEAT_SECONDS)


def _watch(beaten: threading.Event, over: threading.Event, limit_seconds: float) -> None:
    while beaten.wait(limit_seconds):
        if over.is_set():
            return
        beaten.clear()
    faulthandler.dump_traceback(all_threads=True)
    logger.critical("exiting with code %d: the event loop stood still", FAILED)
    os._exit(FAILED)
