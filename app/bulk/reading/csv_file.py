"""CSV: comma-separated values under a line of names, as RFC 4180 and spreadsheets write them."""

import csv
from collections.abc import Iterator
from pathlib import Path

from app.bulk.reading.streams import Stream
from app.bulk.rows import MOST_LINE_BYTES, Columns, Rejected, Row, require_columns, row_of, too_long

_TOO_LONG = "\ud800"  # stands for a line that was not kept: decoding yields no such half
_MARK = "\ufeff"


class CsvFile:
    """A file of comma-separated values in UTF-8."""

    def __init__(self, path: Path, columns: Columns) -> None:
        self.path = path
        self._columns = columns
        self._stream = Stream(path)
        self._names: list[str] = []

    @property
    def bytes_read(self) -> int:
        """The bytes of the file read so far."""
        return self._stream.bytes_read

    def require_columns(self) -> None:
        """Raise JobError if the file cannot be opened, or its first line lacks a column."""
        self._names = next(self._reader(Stream(self.path)), [])
        require_columns(self.path, self._names, self._columns)

    def records(self) -> Iterator[tuple[str, list[str]]]:
        """Yield the values of each record after the first; empty lines are none."""
        reader = self._reader(self._stream)
        self._names = next(reader, [])
        number = 2
        while True:
            try:
                values = next(reader, None)
            except csv.Error:  # more characters in one value than are allowed
                values = [_TOO_LONG]
            if values is None:
                return
            if values:
                yield f"{self.path.name}, record {number}", values
                number += 1

    def row(self, record: list[str], number: int, place: str) -> Row | Rejected:
        """Make a row of a record's values."""
        if record == [_TOO_LONG]:
            return Rejected(number, place, None, too_long())
        if len(record) != len(self._names):
            reason = f"it has {len(record)} values for {len(self._names)} columns"
            return Rejected(number, place, None, reason)
        values = dict(zip(self._names, record, strict=True))
        return row_of(values, self._columns, number, place)

    @staticmethod
    def _reader(stream: Stream) -> "Iterator[list[str]]":
        csv.field_size_limit(MOST_LINE_BYTES)
        return csv.reader(_decoded(stream))


def _decoded(stream: Stream) -> Iterator[str]:
    """Yield lines of text; bytes that are not UTF-8 become halves of surrogate pairs."""
    is_first = True
    for line in stream.lines(MOST_LINE_BYTES):
        text = _TOO_LONG if line is None else line.decode("utf-8", "surrogateescape")
        yield (text.removeprefix(_MARK) if is_first else text) + "\n"
        is_first = False
