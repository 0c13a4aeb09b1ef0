"""Garbage of large bodies: let go of it in parts, and do not look for any meanwhile.

Two megabytes of tiny arrays are a million objects. Freeing them at once, or a collection that
passes over them, keeps every other thread from running for tens of milliseconds.
"""

import asyncio
import gc
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

PART = 5_000  # elements that are freed in a millisecond or less

# After so many bodies, and so long, all is looked through, whoever reads: it takes as long as a
# large body does to read.
COLLECTED_BODIES, COLLECTED_SECONDS = 32, 10.0

_lock = threading.Lock()
_readers = 0  # who read something large just now
_collected = 0.0  # when all was last looked through here, by time.monotonic()
_since = 0  # bodies that have been read from then on


@contextmanager
def uncollected() -> Iterator[None]:
    """Within the block, whoever else is in one, no collection begins; reading makes no cycles.

    Others do: all is looked through now and then, so that nothing piles up while somebody always
    reads.
    """
    global _readers, _collected, _since  # the collector is the process's own
    with _lock:
        _readers += 1
        gc.disable()
    try:
        yield
    finally:
        with _lock:
            _readers -= 1
            if _readers == 0:
                # All that was made goes to the oldest generation as it is: as a young one it would
                # be looked through at once.
                gc.freeze()
                gc.unfreeze()
                gc.enable()
            _since += 1
            is_due = _since >= COLLECTED_BODIES
            is_due = is_due and time.monotonic() > _collected + COLLECTED_SECONDS
            if is_due:
                _collected, _since = time.monotonic(), 0
        if is_due:
            gc.collect()


def let_go(value: Any) -> None:
    """Empty an array that nobody needs any more, with turns for other threads."""
    if type(value) is list:
        while value:
            del value[-PART:]


def let_go_beside(values: list[Any]) -> None:
    """The same beside the event loop on which it is called, if there are many."""
    if len(values) > PART:
        asyncio.get_running_loop().run_in_executor(None, let_go, values)
