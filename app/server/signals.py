"""Signals: which end the service, and which do nothing to it."""

import signal
from collections.abc import Callable
from types import FrameType

# A supervisor's, a keyboard's, and that of a terminal that is closed.
_ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
# What rotates logs sends these to whoever has a file to open anew, which we have not.
_IGNORED = (signal.SIGUSR1, signal.SIGUSR2)


def ending() -> tuple[signal.Signals, ...]:
    """The signals that end us; SIGHUP is none where `nohup` started us."""
    nohup = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    return tuple(one for one in _ENDING if not (nohup and one == signal.SIGHUP))


def ignore() -> None:
    """Let nothing end us any more: we are about to."""
    for number in (*_ENDING, *_IGNORED):
        signal.signal(number, signal.SIG_IGN)


def heed(leave: Callable[[int, FrameType | None], object]) -> None:
    """Have a function called for those that end us, and let the others be ignored."""
    for number in ending():
        signal.signal(number, leave)
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
