"""Parquet: columns of which two are read, a group of rows at a time."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from app.bulk.rows import (
    NOT_UNICODE,
    Columns,
    JobError,
    Rejected,
    Row,
    require_columns,
    row_of,
    words,
)

_ROWS = 1024  # rows read at once


class ParquetFile:
    """A file whose text is in a column of strings; the id may be of any type."""

    def __init__(self, path: Path, columns: Columns) -> None:
        self.path = path
        self._columns = columns
        self._size = path.stat().st_size if path.exists() else 0
        self._share = 0.0  # the share of its rows that has been read

    @property
    def bytes_read(self) -> int:
        """The bytes of the file read so far, estimated by its rows."""
        return round(self._size * self._share)

    def require_columns(self) -> None:
        """Raise JobError if the file cannot be opened, or lacks a column."""
        with self._opened() as file:
            self._names(file)

    def records(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the two values of each row, by name."""
        with self._opened() as file:
            names, number = self._names(file), 0
            try:
                for batch in file.iter_batches(_ROWS, columns=names):
                    for record in _values(batch):
                        number += 1
                        yield f"{self.path.name}, row {number}", record
                    self._share = number / max(1, file.metadata.num_rows)
            except (OSError, pa.ArrowException) as error:
                raise JobError(f"{self.path} cannot be read to its end: {words(error)}") from None

    def row(self, record: dict[str, Any], number: int, place: str) -> Row | Rejected:
        """Make a row of its values."""
        return row_of(record, self._columns, number, place)

    def _opened(self) -> pq.ParquetFile:
        try:
            return pq.ParquetFile(self.path)
        except (OSError, pa.ArrowException) as error:
            raise JobError(f"{self.path} cannot be read: {words(error)}") from None

    def _names(self, file: pq.ParquetFile) -> list[str]:
        """Return the columns to read. Raises: JobError."""
        there, columns = file.schema_arrow.names, self._columns
        require_columns(self.path, there, columns)
        id_name = columns.id or ("id" if "id" in there else None)
        return list(dict.fromkeys(name for name in (columns.text, id_name) if name is not None))


def _values(batch: pa.RecordBatch) -> list[dict[str, Any]]:
    """Return the values of each row; writers of Parquet do not check that strings are UTF-8."""
    try:
        found: list[dict[str, Any]] = batch.to_pylist()
    except UnicodeDecodeError:
        columns = [[_value(one) for one in column] for column in batch.columns]
        rows = zip(*columns, strict=True)
        found = [dict(zip(batch.schema.names, row, strict=True)) for row in rows]
    return found


def _value(scalar: pa.Scalar) -> Any:
    try:
        return scalar.as_py()
    except UnicodeDecodeError:
        return NOT_UNICODE
