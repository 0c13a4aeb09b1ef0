"""Export process: a step of the export as a child process, with its lines in the service's log.

The step needs libraries that the service does not import, and its memory is released before the
model is loaded.
"""

import ctypes
import logging
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from app.errors import StartupError

logger = logging.getLogger(__name__)

_ROOT = Path(__file__).resolve().parents[2]
_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1
# How the child begins a warning, and the last line, which says why it failed.
_WARNING = "warning: "
_FAULT = "error: "


def run(purpose: str, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
    """Run `python -m export` to its end; it never outlives this process, even if that is killed.

    No other thread may be running yet.

    Raises: StartupError with the child's own last line.
    """
    command = [sys.executable, "-m", "export", *arguments]
    last = ""
    with subprocess.Popen(  # noqa: S603  # our own interpreter and module
        command,
        cwd=_ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=_end_with_parent,
    ) as child:
        assert child.stdout is not None
        try:
            for line in child.stdout:
                last = line.strip() or last  # a progress bar begins with an empty line
                if line.strip() and not last.startswith(_FAULT):
                    _tell(last)
            status = child.wait()
        except BaseException:  # on a signal, let the child remove unfinished files
            child.terminate()
            raise
    if last.startswith(_FAULT):
        raise StartupError(last.removeprefix(_FAULT))
    if status != 0:
        raise StartupError(f"{purpose} ended with exit code {status}: {last}")


def _tell(line: str) -> None:
    """Log a line of the child at its own level."""
    if line.startswith(_WARNING):
        logger.warning("%s", line.removeprefix(_WARNING))
    else:
        logger.info("%s", line)


def _end_with_parent() -> None:
    if sys.platform == "linux":
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
