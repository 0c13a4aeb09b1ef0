"""Priority: threads that compute give way to those that answer, where both want a core.

A busy model would otherwise keep the event loop waiting, and with it probes, refusals and every
connection. Linux has a niceness for each thread, which the ones it creates inherit; elsewhere
nothing happens.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

NICENESS = 5  # a third of the weight, where the cores do not suffice
_TASKS = Path("/proc/self/task")


def give_way() -> None:
    """Let the calling thread, and those that it creates, come after the others of the process."""
    _lower(threading.get_native_id())


@contextmanager
def giving_way() -> Iterator[None]:
    """Let threads that come to be meanwhile do so, whichever library makes them."""
    before = _threads()
    yield
    for thread in _threads() - before:
        _lower(thread)


def _threads() -> set[int]:
    return {int(entry.name) for entry in _TASKS.iterdir()} if _TASKS.is_dir() else set()


def _lower(thread: int) -> None:
    if not _TASKS.is_dir():
        return
    with suppress(OSError):  # it has ended, or is as nice as it may be
        nice = os.getpriority(os.PRIO_PROCESS, thread)
        os.setpriority(os.PRIO_PROCESS, thread, nice + NICENESS)
