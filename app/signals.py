"""Signals that end the service."""

import signal
from collections.abc import Callable
from types import FrameType

_ENDING = (signal.SIGTERM, signal.SIGINT)  # a supervisor's, and a keyboard's


def ending() -> tuple[signal.Signals, ...]:
    """The signals that end us."""
    return _ENDING


def heed(leave: Callable[[int, FrameType | None], object]) -> None:
    """Have a function called for those that end us."""
    for number in ending():
        signal.signal(number, leave)
