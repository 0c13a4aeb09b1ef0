"""Streams: files of bytes, plain or compressed, in lines of bounded length."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa

from app.bulk.rows import JobError, words

_COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}
PIECE = 1 << 16  # bytes


class Stream:
    """The lines of one file, decompressed by the file's suffix."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.bytes_read = 0  # bytes of the file read so far
        self.is_cut = False  # whether the line that was yielded last has no end

    def lines(self, most: int) -> Iterator[bytes | None]:
        """Yield each line without its end; None for one of more than `most` bytes.

        Raises: JobError.
        """
        parts: list[bytes] = []  # parts of a line, which may be a thousand: joined once
        size = 0
        for piece in self._pieces():
            for place, part in enumerate(piece.split(b"\n")):
                if place > 0:
                    yield _line(parts, size, most)
                    parts, size = [], 0
                size += len(part)
                if size <= most:
                    parts.append(part)
                else:
                    parts.clear()
        if size:
            self.is_cut = True
            yield _line(parts, size, most)

    def _pieces(self) -> Iterator[bytes]:
        try:
            compression = _COMPRESSIONS.get(self.path.suffix.lower())
            with self.path.open("rb") as raw, _opened(raw, compression) as stream:
                while piece := stream.read(PIECE):
                    self.bytes_read = raw.tell()
                    yield piece
        except (OSError, pa.ArrowException) as error:
            raise JobError(f"{self.path} cannot be read to its end: {words(error)}") from None


def _line(parts: list[bytes], size: int, most: int) -> bytes | None:
    return b"".join(parts).removesuffix(b"\r") if size <= most else None


def _opened(raw: BinaryIO, compression: str | None) -> Any:
    return raw if compression is None else pa.CompressedInputStream(raw, compression)


def uncompressed_suffix(path: Path) -> str:
    """Return the suffix that says what a file holds, without that of its compression."""
    *_, last = ("", *path.suffixes)
    if last.lower() in _COMPRESSIONS:
        *_, last = ("", *path.with_suffix("").suffixes)
    return last.lower()
