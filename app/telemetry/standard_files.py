"""Standard files: open in any case, and never waited for.

Whoever reads what we print may stand still: a pipe is full then, and a write waits for ever, in
whatever part of the process it is, native code and the watchdog among them.
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
    """Put nothing where a supervisor closed them: a socket would take the place, and end there."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115, PTH123  # as long as we live
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115, PTH123


def never_wait() -> None:
    """Make writes to the output and to the errors fail where they would wait, whoever writes."""
    for number in (OUTPUT, ERRORS):
        stop_waiting(number)


def may_wait(number: int) -> bool:
    """Whether a write may stand still: to a file on a slow disk, or to another user's terminal."""
    device = stat.S_ISCHR(os.fstat(number).st_mode) and not os.isatty(number)
    return os.get_blocking(number) and not device


def may_wait_for_ever(number: int) -> bool:
    """Whether a write may wait for somebody who never comes, which no disk does."""
    return may_wait(number) and not stat.S_ISREG(os.fstat(number).st_mode)


def write(number: int, content: bytes, seconds: float) -> None:
    """Write what can be written, waiting for so many seconds at most; the rest is lost."""
    end = time.monotonic() + seconds
    with contextlib.suppress(OSError):  # nobody reads it any more
        while content:
            written = write_now(number, content, waits=may_wait(number))
            content = content[written:]
            if content and not is_writable(number, max(0.0, end - time.monotonic())):
                return


def write_now(number: int, content: bytes, *, waits: bool) -> int:
    """Write what can be written without waiting: how many bytes that were, perhaps none.

    `waits` says whether a write of more would; `may_wait` knows.

    Raises: OSError where nothing can be written any more.
    """
    if waits:
        if not is_writable(number, 0):
            return 0
        content = content[: select.PIPE_BUF]  # so much never waits in a pipe that has room
    try:
        return os.write(number, content)
    except BlockingIOError:
        return 0


def is_writable(number: int, seconds: float | None) -> bool:
    """Wait until something can be written, or the file is at fault; None waits without limit."""
    poll = select.poll()
    poll.register(number, select.POLLOUT)
    return bool(poll.poll(None if seconds is None else seconds * 1000))


def stop_waiting(number: int) -> None:
    """Make writes to one file fail where they would wait, if it is a pipe, a socket or a terminal.

    O_NONBLOCK belongs to what was opened, which a shell may share: it is opened once more.
    """
    mode = os.fstat(number).st_mode
    is_terminal = os.isatty(number)
    if not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or is_terminal):
        return
    flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
    try:
        again = os.open(f"/proc/self/fd/{number}", flags)
    except OSError:
        # A socket, or a pipe of the user that started us. Few share these; a terminal many do, and
        # it has to stay as it is.
        if not is_terminal:
            os.set_blocking(number, False)
        return
    os.dup2(again, number)
    os.close(again)
