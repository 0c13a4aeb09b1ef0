"""JSON Lines: an object on each line."""

import logging
from collections.abc import Iterator
from pathlib import Path

import orjson

from app.bulk.reading.streams import Stream
from app.bulk.rows import MOST_LINE_BYTES, Columns, JobError, Rejected, Row, row_of, too_long

logger = logging.getLogger(__name__)


class JsonLines:
    """A file of JSON Lines; empty lines are no rows.

    Of one that may grow, a last line that is being written is none yet either.
    """

    def __init__(self, path: Path, columns: Columns, *, may_grow: bool = False) -> None:
        self.path = path
        self._columns = columns
        self._may_grow = may_grow
        self._stream = Stream(path)

    @property
    def bytes_read(self) -> int:
        """The bytes of the file read so far."""
        return self._stream.bytes_read

    def require_columns(self) -> None:
        """Raise JobError if the file cannot be opened; each line has columns of its own."""
        try:
            with self.path.open("rb"):
                pass
        except OSError as error:
            raise JobError(f"{self.path} cannot be read: {error.strerror}") from None

    def records(self) -> Iterator[tuple[str, bytes | None]]:
        """Yield each line; None for one that is too long to be held."""
        for number, line in enumerate(self._stream.lines(MOST_LINE_BYTES), 1):
            if line is not None and not line.strip():
                continue
            place = f"{self.path.name}:{number}"
            if self._may_grow and self._stream.is_cut and _is_unfinished(line):
                logger.warning(
                    "%s has no line feed and is not JSON: --resume reads it again", place
                )
                return
            yield place, line

    def row(self, record: bytes | None, number: int, place: str) -> Row | Rejected:
        """Make a row of a line."""
        if record is None:
            return Rejected(number, place, None, too_long())
        try:
            value = orjson.loads(record)
        except orjson.JSONDecodeError as error:
            return Rejected(number, place, None, f"it is not JSON: {error}")
        return row_of(value, self._columns, number, place)


def _is_unfinished(line: bytes | None) -> bool:
    """Check whether a line may become a row when more of it is written."""
    if line is None:
        return False
    try:
        orjson.loads(line)
    except orjson.JSONDecodeError:
        return True
    return False
