"""Signals: which end the service, and which are ignored."""

import signal
from collections.abc import Callable
from types import FrameType

# Sent by a supervisor, by Ctrl-C, and when the terminal closes.
_ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
# Log rotation sends these to processes with a file to reopen, which we have not.
_IGNORED = (signal.SIGUSR1, signal.SIGUSR2)


def ending() -> tuple[signal.Signals, ...]:
    """Return the signals that end the service; not SIGHUP if `nohup` started it."""
    nohup = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    return tuple(one for one in _ENDING if not (nohup and one == signal.SIGHUP))


def ignore() -> None:
    """Ignore all signals, since the process is about to end."""
    for number in (*_ENDING, *_IGNORED):
        signal.signal(number, signal.SIG_IGN)


def heed(leave: Callable[[int, FrameType | None], object]) -> None:
    """Call a function on the signals that end the service, and ignore the others."""
    for number in ending():
        signal.signal(number, leave)
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
