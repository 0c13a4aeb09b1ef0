"""CSV: comma-separated values under a line of names, as RFC 4180 and spreadsheets write them."""

import csv
from collections.abc import Iterator
from pathlib import Path

from app.bulk.reading.streams import Stream
from app.bulk.rows import (
    MOST_LINE_BYTES,
    Columns,
    JobError,
    Rejected,
    Row,
    require_columns,
    row_of,
    too_long,
)

# These stand for records that were not kept: decoding yields no such halves of pairs.
_TOO_LONG = "\ud800"
_BARE_RETURN = "\ud801"
_FAULTS = {
    _TOO_LONG: too_long(),
    _BARE_RETURN: "it has a carriage return outside quotation marks: a line ends with a line feed",
}
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
        self._names = self._header(self._reader(Stream(self.path)))
        require_columns(self.path, self._names, self._columns)

    def records(self) -> Iterator[tuple[str, list[str]]]:
        """Yield the values of each record after the first; empty lines are none."""
        reader = self._reader(self._stream)
        self._names = self._header(reader)
        number = 2
        while (values := _next(reader)) is not None:
            if values:
                yield f"{self.path.name}, record {number}", values
                number += 1

    def row(self, record: list[str], number: int, place: str) -> Row | Rejected:
        """Make a row of a record's values."""
        if (fault := _fault(record)) is not None:
            return Rejected(number, place, None, fault)
        if len(record) != len(self._names):
            reason = f"it has {len(record)} values for {len(self._names)} columns"
            return Rejected(number, place, None, reason)
        values = dict(zip(self._names, record, strict=True))
        return row_of(values, self._columns, number, place)

    def _header(self, reader: "Iterator[list[str]]") -> list[str]:
        """Return the names of the columns. Raises: JobError."""
        names = _next(reader) or []
        if (fault := _fault(names)) is not None:
            raise JobError(f"{self.path}, record 1: {fault}")
        return names

    @staticmethod
    def _reader(stream: Stream) -> "Iterator[list[str]]":
        csv.field_size_limit(MOST_LINE_BYTES)
        return csv.reader(_decoded(stream))


def _next(reader: "Iterator[list[str]]") -> list[str] | None:
    """Return the next record, or what stands for one that cannot be read; None at the end."""
    try:
        return next(reader, None)
    except csv.Error as error:  # the reader goes on with the next line
        return [_BARE_RETURN if "new-line character" in str(error) else _TOO_LONG]


def _fault(record: list[str]) -> str | None:
    return _FAULTS.get(record[0]) if len(record) == 1 else None


def _decoded(stream: Stream) -> Iterator[str]:
    """Yield lines of text; bytes that are not UTF-8 become halves of surrogate pairs."""
    is_first = True
    for line in stream.lines(MOST_LINE_BYTES):
        text = _TOO_LONG if line is None else line.decode("utf-8", "surrogateescape")
        yield (text.removeprefix(_MARK) if is_first else text) + "\n"
        is_first = False
