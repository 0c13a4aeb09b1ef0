"""Rendering: arrays of numbers as JSON, in parts that take a moment each, and TEI's errors."""

from collections.abc import Iterable, Iterator
from typing import Any, TypeVar

import numpy as np
import orjson
from numpy.typing import NDArray

from app.errors import ServiceError

N = TypeVar("N", bound=np.number)

# Numbers that orjson writes in about a millisecond, during which no other task runs.
GROUP_NUMBERS = 32_768


def render_error(error: ServiceError) -> bytes:
    """Return TEI's `{"error": …, "error_type": …}`."""
    return orjson.dumps({"error": str(error), "error_type": error.error_type})


def groups(rows: NDArray[N]) -> Iterator[NDArray[N]]:
    """Split rows (N, D) into groups that take a moment to write."""
    size = max(1, GROUP_NUMBERS // max(1, rows.shape[1]))
    return (rows[start : start + size] for start in range(0, len(rows), size))


def joined(arrays: Iterable[bytes]) -> Iterator[bytes]:
    """Yield one JSON array of the elements of several arrays, none of which is empty."""
    opening = b"["
    for array in arrays:
        yield opening + array[1:-1]
        opening = b","
    yield b"[]" if opening == b"[" else b"]"


def nested(arrays: Iterable[Iterable[bytes]]) -> Iterator[bytes]:
    """Yield a JSON array of at least one array, each of which comes in parts that are arrays."""
    before = b"["
    for array in arrays:
        before += b"["
        for place, part in enumerate(array):
            yield before + (b"," if place else b"") + part[1:-1]
            before = b""
        before += b"],"
    yield before[:-1] + b"]"


def numpy_json(value: Any) -> bytes:
    """Render JSON, with float32 arrays as the shortest decimals that give them back."""
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)
