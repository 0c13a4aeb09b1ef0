"""Watchdog: a process whose event loop stands still ends, so that a supervisor restarts it."""

import asyncio
import contextlib
import faulthandler
import logging
import os
import sys
import threading
from collections.abc import AsyncIterator, Iterator

from app.telemetry import logs, standard_files
from app.telemetry.last_words import SECONDS, leave

logger = logging.getLogger(__name__)

FAILED = 3  # the exit code that asks a supervisor for a fresh process
BEAT_SECONDS = 1.0
LAST_SECONDS = 2.0  # for the watching thread, which the cause of the stall may hold up too


@contextlib.asynccontextmanager
async def heartbeat(limit_seconds: float) -> AsyncIterator[None]:
    """Within the block, end the process if the event loop stands still for `limit_seconds`.

    Every thread's stack is printed first, if standard error takes it. A thread ends the process,
    with exit code 3; if native code keeps all of Python from running, the C library does, with exit
    code 1, its only one.
    """
    beaten, over = threading.Event(), threading.Event()
    watch = threading.Thread(
        target=_watch, args=(beaten, over, limit_seconds), name="heartbeat", daemon=True
    )
    watch.start()
    with _never_waiting() as place:
        beat = asyncio.create_task(_beat(beaten, limit_seconds, place))
        try:
            yield
        finally:
            over.set()
            beaten.set()
            beat.cancel()
            faulthandler.cancel_dump_traceback_later()


@contextlib.contextmanager
def _never_waiting() -> Iterator[int]:
    """Yield standard error, or the null device if a write may block: a hung process has to end."""
    if not standard_files.may_wait_for_ever(standard_files.ERRORS):
        yield standard_files.ERRORS
        return
    with open(os.devnull, "w") as nothing:  # noqa: PTH123
        yield nothing.fileno()


async def _beat(beaten: threading.Event, limit_seconds: float, place: int) -> None:
    while True:
        faulthandler.dump_traceback_later(limit_seconds + LAST_SECONDS, exit=True, file=place)
        beaten.set()
        await asyncio.sleep(BEAT_SECONDS)


def _watch(beaten: threading.Event, over: threading.Event, limit_seconds: float) -> None:
    while beaten.wait(limit_seconds):
        if over.is_set():
            return
        beaten.clear()
    leave(FAILED, _say_why)


def _say_why() -> None:
    """Write the rest of the log, then the stacks, then the reason."""
    logs.flush(SECONDS / 2)
    standard_files.write(standard_files.ERRORS, _stacks(), SECONDS / 4)
    logger.critical("exiting with code %d: the event loop stood still", FAILED)


def _stacks() -> bytes:
    """Return every thread's stack, read from memory, as writing it directly may block or fail."""
    if sys.platform != "linux":
        return b""
    try:
        with open(os.memfd_create("stacks"), "w+b") as memory:  # noqa: PTH123  # it has no path
            faulthandler.dump_traceback(memory, all_threads=True)
            memory.seek(0)
            return memory.read()
    except OSError as error:
        return f"no stacks: {error}\n".encode()
