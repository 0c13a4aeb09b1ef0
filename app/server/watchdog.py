"""Heartbeat: a process whose event loop stands still ends, so that a supervisor starts another."""

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
LAST_SECONDS = 2.0  # for the thread that watches, which may be held up by what holds up the loop


@contextlib.asynccontextmanager
async def heartbeat(limit_seconds: float) -> AsyncIterator[None]:
    """Within the block, end the process once the event loop stands still for so long.

    Every thread's stack is printed first, as far as somebody reads it. A thread sees to it, with
    exit code 3; where native code keeps all of Python from running, the C library does, which knows
    no exit code but 1.
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
    """Standard error, or nothing where a write to it may wait: a process that hangs has to end."""
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
    """What the log holds comes first, then the stacks, and the reason last."""
    logs.flush(SECONDS / 2)
    standard_files.write(standard_files.ERRORS, _stacks(), SECONDS / 4)
    logger.critical("exiting with code %d: the event loop stood still", FAILED)


def _stacks() -> bytes:
    """Every thread's stack as text, by way of memory: its writer would wait, or not try again."""
    if sys.platform != "linux":
        return b""
    try:
        with open(os.memfd_create("stacks"), "w+b") as memory:  # noqa: PTH123  # it has no path
            faulthandler.dump_traceback(memory, all_threads=True)
            memory.seek(0)
            return memory.read()
    except OSError as error:
        return f"no stacks: {error}\n".encode()
