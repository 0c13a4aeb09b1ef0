"""Source: a file of rows, in one of the formats."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from app.bulk.rows import Rejected, Row


class Source(Protocol):
    """A file of rows. Records are cheap to skip; making rows of them is not."""

    path: Path

    @property
    def bytes_read(self) -> int:
        """The bytes of the file read so far."""

    def require_columns(self) -> None:
        """Raise JobError if the file cannot be opened, or lacks a column."""

    def records(self) -> Iterator[tuple[str, Any]]:
        """Yield each record with its place in the file. Raises: JobError."""

    def row(self, record: Any, number: int, place: str) -> Row | Rejected:
        """Make a row of a record."""
