"""Progress: the lines that an export prints, its steps numbered as they begin.

The server runs steps of the export as subprocesses, and repeats their lines in its own log: marks
tell it which lines are warnings, and which one says why a step failed.
"""

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Self

from app.proof import counting
from app.proof.counting import Counting

logger = logging.getLogger("export")

WARNING = "warning: "
FAULT = "error: "  # begins the last line of a program that failed


class Steps:
    """The steps of one export, counted as they begin; another process may do some of them."""

    def __init__(self, count: int, done: int = 0) -> None:
        self._started = time.perf_counter()
        self.count = count
        self.done = done

    @classmethod
    def parse(cls, text: str) -> Self:
        """Continue the count of another process, from the `str` of its steps."""
        done, count = text.split("/")
        return cls(int(count), int(done))

    def __str__(self) -> str:
        return f"{self.done}/{self.count}"

    @property
    def seconds(self) -> float:
        """Seconds since this process began to count."""
        return time.perf_counter() - self._started

    def begin(self, sentence: str) -> None:
        """Count the next step, and log what it does."""
        self.done += 1
        logger.info("[%d/%d] %s", self.done, self.count, sentence)


@contextmanager
def counted(total: int, unit: str) -> Iterator[Callable[[int], object]]:
    """Yield a function that counts what is done of a step.

    It moves a bar on a terminal, and prints a line now and then elsewhere.
    """
    if not sys.stdout.isatty():
        yield Counting(total, unit, logger.info).advance
        return
    from tqdm import tqdm

    with tqdm(total=total, unit=f" {unit}", leave=False, file=sys.stdout) as bar:
        yield bar.update


def clocked(step: str) -> AbstractContextManager[None]:
    """Return a block that prints now and then how long it has taken, if nothing can be counted."""
    return counting.clocked(step, logger.info)


def print_lines() -> None:
    """Log to standard output: this program's events, and other libraries' warnings."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(_Marked())
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logger.setLevel(logging.INFO)


def print_fault(message: str) -> None:
    """Write to standard error why the program fails, after everything else."""
    sys.stdout.flush()
    sys.stderr.write(f"{FAULT}{message}\n")


class _Marked(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        if record.levelno < logging.WARNING:
            return text
        return "\n".join(WARNING + line for line in text.splitlines())
