"""Niceness: threads that compute give way to those that answer if both want a core.

A busy model would otherwise delay the event loop, and with it probes, refusals and every
connection. Linux has a niceness for each thread, inherited by the threads it creates; elsewhere
nothing happens.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

NICENESS = 5  # about a third of the CPU time if there are too few cores
_TASKS = Path("/proc/self/task")


def give_way() -> None:
    """Lower the priority of the calling thread, and of the threads it creates."""
    _lower(threading.get_native_id())


@contextmanager
def giving_way() -> Iterator[None]:
    """Lower the priority of every thread created inside the block."""
    before = _threads()
    yield
    for thread in _threads() - before:
        _lower(thread)


def _threads() -> set[int]:
    return {int(entry.name) for entry in _TASKS.iterdir()} if _TASKS.is_dir() else set()


def _lower(thread: int) -> None:
    if not _TASKS.is_dir():
        return
    with suppress(OSError):  # it has ended, or its priority is lowest already
        nice = os.getpriority(os.PRIO_PROCESS, thread)
        os.setpriority(os.PRIO_PROCESS, thread, nice + NICENESS)
