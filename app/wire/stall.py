"""Stall: an answer is aborted when its client stops reading."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def while_it_flows(
    seconds: float, left: Callable[[], int], cut: Callable[[], None]
) -> Iterator[None]:
    """Call `cut` if `left()` has not decreased for `seconds` within the block."""
    loop = asyncio.get_running_loop()
    before: int | None = None
    handle: asyncio.TimerHandle

    def look() -> None:
        nonlocal handle, before
        now = left()
        if before is not None and now >= before:
            cut()
        else:
            before = now
            handle = loop.call_later(seconds, look)

    handle = loop.call_later(seconds, look)
    try:
        yield
    finally:
        handle.cancel()
