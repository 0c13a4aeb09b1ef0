"""Last words: what a process says before it ends, which never keeps it from ending."""

import contextlib
import os
import sys
import threading
from collections.abc import Callable
from typing import NoReturn

from app.telemetry import logs

SECONDS = 1.0


def leave(code: int, say: Callable[[], None] = lambda: None) -> NoReturn:
    """End the process: no thread is waited for, one may be stuck in native code.

    What is still to be said, to be written of the log and to be printed has a second.
    """
    try:
        # Whatever holds it up, a lock or a terminal, holds up a daemon.
        last = threading.Thread(target=_speak, args=(say,), name="last words", daemon=True)
        last.start()
        last.join(SECONDS)
    finally:
        os._exit(code)


def _speak(say: Callable[[], None]) -> None:
    say()
    logs.flush(SECONDS)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):  # nobody reads it any more
            stream.flush()
