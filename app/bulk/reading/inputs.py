"""Inputs: all files of a job as one sequence of rows."""

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from app.bulk.reading.csv_file import CsvFile
from app.bulk.reading.json_lines import JsonLines
from app.bulk.reading.parquet_file import ParquetFile
from app.bulk.reading.source import Source
from app.bulk.reading.streams import uncompressed_suffix
from app.bulk.rows import Columns, JobError, Rejected, Row

FORMATS: dict[str, type[JsonLines | CsvFile | ParquetFile]] = {
    ".jsonl": JsonLines,
    ".ndjson": JsonLines,
    ".csv": CsvFile,
    ".parquet": ParquetFile,
}


class Inputs:
    """The files of a job, in their order."""

    def __init__(self, sources: Sequence[Source]) -> None:
        self._sources = sources
        self.size = sum(source.path.stat().st_size for source in sources)  # bytes

    @classmethod
    def of(cls, paths: Sequence[Path], columns: Columns) -> "Inputs":
        """Open files by their suffixes, and look for their columns; the last one may grow.

        Raises: JobError naming the file.
        """
        *others, last = paths
        sources = [_source(path, columns) for path in others]
        sources.append(_source(last, columns, may_grow=True))
        for source in sources:
            source.require_columns()
        return cls(sources)

    @property
    def bytes_read(self) -> int:
        """The bytes of all files read so far."""
        return sum(source.bytes_read for source in self._sources)

    def rows(self, first: int) -> Iterator[Row | Rejected]:
        """Yield the rows from number `first` on; those before are only counted.

        Raises: JobError, when all rows before have been yielded.
        """
        every = (
            (source, place, record)
            for source in self._sources
            for place, record in source.records()
        )
        for number, (source, place, record) in enumerate(islice(every, first, None), first):
            yield source.row(record, number, place)


def _source(path: Path, columns: Columns, *, may_grow: bool = False) -> Source:
    found = FORMATS.get(uncompressed_suffix(path))
    if found is None:
        known = ", ".join(FORMATS)
        raise JobError(
            f"{path} has no suffix that says what it holds: {known}; JSON Lines and CSV also with "
            ".gz or .zst"
        )
    if found is ParquetFile and path.suffix.lower() != ".parquet":
        raise JobError(f"{path}: Parquet is compressed inside, and read as .parquet")
    if not path.is_file():
        raise JobError(f"{path} is not a file")
    if found is JsonLines:
        return JsonLines(path, columns, may_grow=may_grow)
    return found(path, columns)
