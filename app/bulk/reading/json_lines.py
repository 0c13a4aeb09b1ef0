"""JSON Lines: an object on each line."""

from collections.abc import Iterator
from pathlib import Path

import orjson

from app.bulk.reading.streams import Stream
from app.bulk.rows import MOST_LINE_BYTES, Columns, JobError, Rejected, Row, row_of, too_long


class JsonLines:
    """A file of JSON Lines; empty lines are no rows."""

    def __init__(self, path: Path, columns: Columns) -> None:
        self.path = path
        self._columns = columns
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
            if line is None or line.strip():
                yield f"{self.path.name}:{number}", line

    def row(self, record: bytes | None, number: int, place: str) -> Row | Rejected:
        """Make a row of a line."""
        if record is None:
            return Rejected(number, place, None, too_long())
        try:
            value = orjson.loads(record)
        except orjson.JSONDecodeError as error:
            return Rejected(number, place, None, f"it is not JSON: {error}")
        return row_of(value, self._columns, number, place)
