"""Garbage collection: large bodies are freed in parts, and nothing is collected while one is read.

Two megabytes of tiny arrays are a million objects. Freeing them at once, or a collection that
visits them, keeps every other thread from running for tens of milliseconds.
"""

import asyncio
import gc
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

PART = 5_000  # elements freed in a millisecond or less

# A full collection runs after this many bodies and seconds, even if others are being read: it takes
# as long as reading a large body.
COLLECTED_BODIES, COLLECTED_SECONDS = 32, 10.0

_lock = threading.Lock()
_readers = 0  # threads that are reading a large body now
_collected = 0.0  # time of the last full collection here, by time.monotonic()
_since = 0  # bodies read since then


@contextmanager
def uncollected() -> Iterator[None]:
    """Suspend garbage collection within the block, for all threads; reading makes no cycles.

    Other code does make them, so a full collection runs now and then even if some thread always
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
                # Move all that was made to the oldest generation: as young objects they would be
                # visited at once.
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
    """Empty an array that is no longer needed, in parts, so that other threads can run."""
    if type(value) is list:
        while value:
            del value[-PART:]


def let_go_beside(values: list[Any]) -> None:
    """Empty a large array on another thread; call on an event loop."""
    if len(values) > PART:
        asyncio.get_running_loop().run_in_executor(None, let_go, values)
