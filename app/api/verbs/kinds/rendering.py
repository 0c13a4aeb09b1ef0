"""Rendering: the vectors of each input as members of a JSON object, in parts of moderate size."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from app.api.verbs.output.dtype import numbers
from app.api.verbs.rendering import groups, joined, numpy_json
from app.inference.kinds.served_kinds import KindVectors
from app.model.vectors import SparseVector

ENTRIES_AT_ONCE = 1_000  # Python objects in memory at a time
PART_BYTES = 64 * 1024  # small pieces are joined to parts of this many bytes


@dataclass(frozen=True, slots=True)
class Frame:
    """The frame that a dialect puts around an input's vectors, and its form of a dense one."""

    dense: str = "dense"  # the name of the member
    opening: bytes = b"{"
    closing: Callable[[int], bytes] = lambda _: b"}"  # of the input at a place
    encoded: Callable[[NDArray[Any]], Sequence[Any] | NDArray[Any]] = numbers  # rows, for JSON


def objects(vectors: KindVectors, inputs: int, frame: Frame) -> Iterator[bytes]:
    """Yield a JSON array with an object for each input, of which there is at least one."""
    return gathered(_pieces(vectors, inputs, frame))


def gathered(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Join pieces to parts of at least PART_BYTES, the last one aside."""
    held: list[bytes] = []
    size = 0
    for piece in pieces:
        held.append(piece)
        size += len(piece)
        if size >= PART_BYTES:
            yield b"".join(held)
            held, size = [], 0
    yield b"".join(held)


def entries(vector: SparseVector) -> Iterator[bytes]:
    """Yield arrays of a vector's entries, ENTRIES_AT_ONCE in each."""
    for start in range(0, len(vector.indices), ENTRIES_AT_ONCE):
        some = slice(start, start + ENTRIES_AT_ONCE)
        found = zip(vector.indices[some].tolist(), vector.values[some], strict=True)
        yield numpy_json([{"index": index, "value": value} for index, value in found])


def _pieces(vectors: KindVectors, inputs: int, frame: Frame) -> Iterator[bytes]:
    before = b"["
    for place in range(inputs):
        before += frame.opening
        for name, pieces in _members(vectors, place, frame):
            yield before + b'"%b":' % name.encode()
            yield from pieces
            before = b","
        yield frame.closing(place)
        before = b","
    yield b"]"


def _members(
    vectors: KindVectors, place: int, frame: Frame
) -> Iterator[tuple[str, Iterable[bytes]]]:
    if vectors.dense is not None:
        yield frame.dense, [numpy_json(frame.encoded(vectors.dense[place : place + 1])[0])]
    if vectors.sparse is not None:
        yield "sparse", joined(entries(vectors.sparse[place]))
    if vectors.multi_vector is not None:
        rows = groups(vectors.multi_vector[place])
        yield "multi_vector", joined(numpy_json([*frame.encoded(group)]) for group in rows)
