"""Last words: what a process writes before it ends, which never keeps it from ending."""

import contextlib
import os
import sys
import threading
from collections.abc import Callable
from typing import NoReturn

from app.telemetry import logs

SECONDS = 1.0


def leave(code: int, say: Callable[[], None] = lambda: None) -> NoReturn:
    """End the process without waiting for other threads, which may be stuck in native code.

    `say`, the rest of the log and the standard streams together have a second.
    """
    try:
        # Whatever blocks, a lock or a terminal, blocks only a daemon thread.
        last = threading.Thread(target=_speak, args=(say,), name="last words", daemon=True)
        last.start()
        last.join(SECONDS)
    finally:
        os._exit(code)


def _speak(say: Callable[[], None]) -> None:
    say()
    logs.flush(SECONDS)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):  # no one reads it any more
            stream.flush()
