"""Shards: Parquet or NumPy files of vectors, written as they come."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO, Literal, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from app.bulk.computing import Embedded
from app.bulk.rows import Rejected  # noqa: TC001  # its fields are read
from app.bulk.writing.folder import Folder, Part
from app.model.quantization import Quantized

Format = Literal["parquet", "npy"]
_GROUP_ROWS = 8_192  # rows of a Parquet file's row group, which is held in memory


class VectorFile(Protocol):
    """A file of ids and vectors that is being written."""

    def add(self, ids: list[str], vectors: Quantized) -> None:
        """Write some vectors, (N, D)."""

    def close(self) -> None:
        """Write what is left."""


@dataclass(frozen=True, slots=True)
class ShardOptions:
    """Options for writing shards."""

    format: Format
    rows: int  # input rows of a shard, up to the end of a chunk
    metadata: Mapping[str, str]  # metadata of each file, if its format has a place for it


class Shards:
    """Writes vectors to a folder, shard after shard; lives on one thread at a time."""

    def __init__(self, folder: Folder, options: ShardOptions) -> None:
        self._folder = folder
        self._options = options
        self._number = len(folder.parts)
        self._first_row = self._next_row = folder.next_row
        self._file: VectorFile | None = None
        self._rows = 0
        self._rejected: list[Rejected] = []
        self.rows = sum(part.rows for part in folder.parts)  # rows of all shards with a vector
        self.rejected = sum(part.rejected for part in folder.parts)

    def add(self, embedded: Embedded) -> None:
        """Write a chunk; a shard that is full is completed. Raises: OSError."""
        if embedded.rows:
            if self._file is None:
                self._file = self._opened(embedded.vectors)
            self._file.add([row.id for row in embedded.rows], embedded.vectors)
        self._rows += len(embedded.rows)
        self._rejected += embedded.rejected
        self._next_row = embedded.next_row
        if self._next_row - self._first_row >= self._options.rows:
            self.complete()

    def complete(self) -> None:
        """Complete the shard that is being written, if it holds any row. Raises: OSError."""
        if self._next_row == self._first_row:
            return
        if self._file is not None:
            self._file.close()
            for suffix in self._suffixes():
                self._folder.place(self._number, suffix)
        if self._rejected:
            lines = (json.dumps(asdict(one)) for one in self._rejected)
            self._folder.reject(self._number, "".join(f"{line}\n" for line in lines).encode())
        self._folder.complete(
            Part(self._number, self._first_row, self._next_row, self._rows, len(self._rejected))
        )
        self.rows += self._rows
        self.rejected += len(self._rejected)
        self._number += 1
        self._first_row = self._next_row
        self._file, self._rows, self._rejected = None, 0, []

    def _suffixes(self) -> tuple[str, ...]:
        return (".parquet",) if self._options.format == "parquet" else (".npy", ".ids.jsonl")

    def _opened(self, like: Quantized) -> VectorFile:
        paths = [self._folder.unfinished(self._number, one) for one in self._suffixes()]
        if self._options.format == "parquet":
            return _Parquet(paths[0], like, self._options.metadata)
        return _Npy(paths[0], paths[1], like)


class _Parquet:
    """A column of ids, and one of vectors as lists of fixed size."""

    def __init__(self, path: Path, like: Quantized, metadata: Mapping[str, str]) -> None:
        self._width = like.shape[1]
        vector = pa.list_(pa.field("element", pa.from_numpy_dtype(like.dtype)), self._width)
        self._schema = pa.schema(
            [pa.field("id", pa.string(), nullable=False), pa.field("vector", vector)],
            metadata=dict(metadata),
        )
        self._writer = pq.ParquetWriter(path, self._schema, use_dictionary=False)
        self._held: list[tuple[list[str], Quantized]] = []

    def add(self, ids: list[str], vectors: Quantized) -> None:
        self._held.append((ids, vectors))
        if sum(len(ids) for ids, _ in self._held) >= _GROUP_ROWS:
            self._write()

    def close(self) -> None:
        self._write()
        self._writer.close()

    def _write(self) -> None:
        if not self._held:
            return
        ids = [one for ids, _ in self._held for one in ids]
        numbers = np.concatenate([vectors for _, vectors in self._held]).reshape(-1)
        vectors = pa.FixedSizeListArray.from_arrays(
            pa.array(numbers), type=self._schema.field("vector").type
        )
        self._writer.write_table(
            pa.Table.from_arrays([pa.array(ids), vectors], schema=self._schema)
        )
        self._held = []


class _Npy:
    """An array in NumPy's format, and beside it a JSON string with the id of each row."""

    def __init__(self, path: Path, ids_path: Path, like: Quantized) -> None:
        self._like = like
        self._file: BinaryIO = path.open("wb+")
        self._ids: BinaryIO = ids_path.open("wb")
        self._rows = 0
        self._write_header()

    def add(self, ids: list[str], vectors: Quantized) -> None:
        self._file.write(np.ascontiguousarray(vectors).tobytes())
        self._ids.write("".join(f"{json.dumps(one)}\n" for one in ids).encode())
        self._rows += len(ids)

    def close(self) -> None:
        self._file.seek(0)
        self._write_header()  # as long as the first: NumPy leaves room for the number of rows
        self._file.close()
        self._ids.close()

    def _write_header(self) -> None:
        np.lib.format.write_array_header_1_0(
            self._file,
            {
                "descr": np.lib.format.dtype_to_descr(self._like.dtype),
                "fortran_order": False,
                "shape": (self._rows, self._like.shape[1]),
            },
        )
