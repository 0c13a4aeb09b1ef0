"""Progress: a bar on a terminal, and a line a minute in a log."""

import logging
import sys
import time
from collections.abc import Callable

from tqdm import tqdm

logger = logging.getLogger(__name__)

LINE_SECONDS = 60.0
_BAR = "{percentage:3.0f}%|{bar}| {desc}, {remaining} left"


class Progress:
    """Tells how far a job has come."""

    def __init__(self, size: int, bytes_read: Callable[[], int]) -> None:
        """Tell of `size` bytes of inputs, of which `bytes_read()` have been read."""
        self._size = max(1, size)
        self._bytes_read = bytes_read
        self._started = self._told = time.monotonic()
        self._first = bytes_read()
        self._rows = self._tokens = 0
        is_shown = sys.stderr.isatty()
        self._bar = tqdm(total=self._size, bar_format=_BAR, file=sys.stderr) if is_shown else None

    def advance(self, rows: int, tokens: int) -> None:
        """Count rows that have been computed, and their tokens."""
        self._rows += rows
        self._tokens += tokens
        if self._bar is not None:
            self._bar.set_description_str(self._rates(), refresh=False)
            self._bar.update(self._bytes_read() - self._bar.n)
        elif time.monotonic() - self._told >= LINE_SECONDS:
            self._told = time.monotonic()
            logger.info("%s, %s", self._rates(), self._left())

    def close(self) -> None:
        """Leave the terminal in order."""
        if self._bar is not None:
            self._bar.close()

    @property
    def seconds(self) -> float:
        """The seconds that the job has taken so far."""
        return time.monotonic() - self._started

    def _rates(self) -> str:
        rate = self._tokens / max(self.seconds, 1e-9)
        return f"{self._rows:,} rows, {rate:,.0f} tokens/s"

    def _left(self) -> str:
        read = self._bytes_read()
        share = min(1.0, read / self._size)
        done = read - self._first
        seconds = self.seconds * (self._size - read) / done if done else 0.0
        hours, minutes = divmod(round(seconds / 60), 60)
        return f"{share:.0%} of the inputs read, about {hours} h {minutes:02} min left"
