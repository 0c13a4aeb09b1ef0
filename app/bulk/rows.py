"""Rows: one text of an input, or why it cannot be one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MOST_CHARACTERS = 16_000_000  # of one text; a longer one is rejected rather than held in memory
MOST_LINE_BYTES = 4 * MOST_CHARACTERS
NOT_UNICODE = "\udcff"  # the value of bytes that are not UTF-8


class JobError(Exception):
    """A job cannot go on; the message says why in one line, and `code` is the process's exit code.

    What was computed before it is written.
    """

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Columns:
    """The names of the columns that are read."""

    text: str
    id: str | None  # None: `id` where there is one, else the row's number


@dataclass(frozen=True, slots=True)
class Row:
    """A text to embed."""

    number: int  # number over all inputs, from 0
    place: str  # its place in the input, for people
    id: str
    text: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row that has no vector, and why."""

    number: int
    place: str
    id: str | None
    reason: str


def row_of(record: Any, columns: Columns, number: int, place: str) -> Row | Rejected:
    """Make a row of a record's columns, or say what is wrong with it."""
    if not isinstance(record, Mapping):
        return Rejected(number, place, None, f"it is no object with a `{columns.text}`")
    id_column = columns.id or "id"
    given = record.get(id_column)
    id_ = str(number) if given is None else str(given)
    if not _is_unicode(id_):
        return Rejected(number, place, None, f"its `{id_column}` is not valid UTF-8")
    known = None if given is None else id_
    if given is None and columns.id is not None:
        return Rejected(number, place, None, f"it has no `{columns.id}`")
    text = record.get(columns.text)
    if text is None:
        return Rejected(number, place, known, f"it has no `{columns.text}`")
    if not isinstance(text, str):
        return Rejected(number, place, known, f"its `{columns.text}` is no text")
    if len(text) > MOST_CHARACTERS:
        return Rejected(number, place, known, too_long(len(text)))
    if not _is_unicode(text):
        return Rejected(number, place, known, f"its `{columns.text}` is not valid UTF-8")
    return Row(number, place, id_, text)


def require_columns(path: Path, there: Sequence[str], columns: Columns) -> None:
    """Raise JobError if a file lacks a column that was asked for."""
    for name in (columns.text, columns.id):
        if name is not None and name not in there:
            found = ", ".join(there) or "none"
            raise JobError(f"{path} has no column `{name}`: its columns are {found}")


def words(error: Exception) -> str:
    """Return what an error says, on one line."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split())


def too_long(size: int | None = None) -> str:
    """Say that a row is too long, and how long if that is known."""
    found = "" if size is None else f": {size:,}"
    return f"it has more than {MOST_CHARACTERS:,} characters{found}"


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair, or a byte that was no UTF-8
        return False
    return True
