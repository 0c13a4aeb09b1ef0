"""Progress: the lines that an export prints, its steps numbered as they begin.

A program that is started by another tells by marks which of its lines warn, and why it failed: the
server starts steps of the export and tells their lines in its own log.
"""

import logging
import sys
import time
from typing import Self

logger = logging.getLogger("export")

WARNING = "warning: "
FAULT = "error: "  # begins the last line


class Steps:
    """The steps of one export, counted as they begin; another process may do some of them."""

    def __init__(self, count: int, done: int = 0) -> None:
        self._started = time.perf_counter()
        self.count = count
        self.done = done

    @classmethod
    def parse(cls, text: str) -> Self:
        """Go on from what another process has counted, as `str` of it says."""
        done, count = text.split("/")
        return cls(int(count), int(done))

    def __str__(self) -> str:
        return f"{self.done}/{self.count}"

    @property
    def seconds(self) -> float:
        """How long it has been going on."""
        return time.perf_counter() - self._started

    def begin(self, sentence: str) -> None:
        """Say what is being done now."""
        self.done += 1
        logger.info("[%d/%d] %s", self.done, self.count, sentence)


def print_lines() -> None:
    """Let events be lines of standard output, those of other libraries only where they warn."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(_Marked())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logger.setLevel(logging.INFO)


def print_fault(message: str) -> None:
    """Say on standard error, behind everything else, why the program fails."""
    sys.stdout.flush()
    sys.stderr.write(f"{FAULT}{message}\n")


class _Marked(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        if record.levelno < logging.WARNING:
            return text
        return "\n".join(WARNING + line for line in text.splitlines())
