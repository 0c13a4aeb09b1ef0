"""Standard files: always open, and never waited for.

If the reader of our output stalls, its pipe is full, and a write would block forever, in any part
of the process, native code and the watchdog included.
"""

import contextlib
import os
import select
import stat
import sys
import time

OUTPUT = 1
ERRORS = 2
RETRY_SECONDS = 0.005


def open_missing() -> None:
    """Open the null device for missing standard files, so that no socket gets their numbers."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115, PTH123  # never closed
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115, PTH123


def never_wait() -> None:
    """Make writes to stdout and stderr fail instead of block, from any code."""
    for number in (OUTPUT, ERRORS):
        stop_waiting(number)


def may_wait(number: int) -> bool:
    """Check whether a write may block, as to a slow disk or to another user's terminal."""
    device = stat.S_ISCHR(os.fstat(number).st_mode) and not os.isatty(number)
    return os.get_blocking(number) and not device


def may_wait_for_ever(number: int) -> bool:
    """Check whether a write may block forever, as it never does on a disk."""
    return may_wait(number) and not stat.S_ISREG(os.fstat(number).st_mode)


def write(number: int, content: bytes, seconds: float) -> None:
    """Write as much as possible within `seconds`; the rest is lost."""
    end = time.monotonic() + seconds
    with contextlib.suppress(OSError):  # no one reads it any more
        while content:
            written = write_now(number, content, waits=may_wait(number))
            content = content[written:]
            if content and not is_writable(number, max(0.0, end - time.monotonic())):
                return


def write_now(number: int, content: bytes, *, waits: bool) -> int:
    """Write what does not block, and return how many bytes that were, perhaps none.

    `waits` says whether a longer write would block, as `may_wait` tells.

    Raises: OSError if nothing can be written any more.
    """
    if waits:
        if not is_writable(number, 0):
            return 0
        content = content[: select.PIPE_BUF]  # a pipe that has room always takes this much
    try:
        return os.write(number, content)
    except BlockingIOError:
        return 0


def is_writable(number: int, seconds: float | None) -> bool:
    """Wait until the file can be written or has failed, and return whether; None: no limit."""
    poll = select.poll()
    poll.register(number, select.POLLOUT)
    return bool(poll.poll(None if seconds is None else seconds * 1000))


def stop_waiting(number: int) -> None:
    """Set O_NONBLOCK on a fresh opening of the file, as a shell may share the present one."""
    mode = os.fstat(number).st_mode
    is_terminal = os.isatty(number)
    if not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or is_terminal):
        return
    flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    try:
        again = os.open(f"/proc/self/fd/{number}", flags)
    except OSError:
        # A socket, or a pipe of the user that started us. Few processes share these; a terminal is
        # shared by many, and must stay as it is.
        if not is_terminal:
            os.set_blocking(number, False)
        return
    os.dup2(again, number)
    os.close(again)
