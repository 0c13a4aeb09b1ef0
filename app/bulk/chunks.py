"""Chunks: rows that are tokenized and computed as one request to the model."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from app.bulk.rows import JobError, Rejected, Row

ROWS = 256
CHARACTERS = 1_000_000  # characters of all texts, so that chunks of long texts stay small
# Chunks in the model at a time: the more rows wait, the less padding batches have, and writing one
# chunk keeps none of the others waiting.
WINDOW = 8


@dataclass(slots=True)
class Chunk:
    """Some rows that follow each other in the inputs."""

    rows: list[Row] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    characters: int = 0
    next_row: int = 0  # the number of the row after its last one

    @property
    def is_full(self) -> bool:
        """True if it takes no further row."""
        return len(self.rows) + len(self.rejected) >= ROWS or self.characters >= CHARACTERS

    def add(self, row: Row | Rejected) -> None:
        """Take the next row."""
        if isinstance(row, Row):
            self.rows.append(row)
            self.characters += len(row.text)
        else:
            self.rejected.append(row)
        self.next_row = row.number + 1


def chunked(rows: Iterable[Row | Rejected]) -> Iterator[Chunk]:
    """Yield all rows in full chunks, and those left over in a last one.

    If the rows end with an error, it is raised when all rows before have been yielded.
    """
    chunk = Chunk()
    ended: JobError | None = None
    iterator = iter(rows)
    while True:
        try:
            row = next(iterator, None)
        except JobError as error:
            row, ended = None, error
        if row is None:
            break
        chunk.add(row)
        if chunk.is_full:
            yield chunk
            chunk = Chunk()
    if chunk.rows or chunk.rejected:
        yield chunk
    if ended is not None:
        raise ended
