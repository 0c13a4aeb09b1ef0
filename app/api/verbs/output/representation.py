"""Representation: an answer as JSON, or as the bytes of its numbers for a client that asks so."""

from base64 import b64encode
from collections.abc import Iterable, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from app.api.verbs.rendering import groups
from app.api.verbs.verb import Request, Verb
from app.inference.computing import Computed
from app.inference.served_model import ServedModel
from app.records import record

JSON = b"application/json"
OCTETS = b"application/octet-stream"


@record()
class Representation:
    """An answer as it is sent: its parts, their media type, and headers of its own."""

    parts: Iterable[bytes]
    media_type: bytes = JSON
    headers: Sequence[tuple[bytes, bytes]] = ()


@runtime_checkable
class InRows(Protocol):
    """A verb whose answer may be one array of numbers."""

    def rows(self, computed: Computed[Any], /) -> NDArray[Any] | None:
        """Return the array, (N, W), if this answer is one."""


def represented(
    accept: bytes | None,
    verb: Verb,
    model: ServedModel,
    request: Request[Any],
    computed: Computed[Any],
) -> Representation:
    """Return the answer in octets if the verb has one and `accept` names nothing else, or JSON."""
    if accept is not None and accept.strip().lower() == OCTETS and isinstance(verb, InRows):
        rows = verb.rows(computed)
        if rows is not None:
            return _octets(rows)
    return Representation(verb.render(model, request, computed))


def little_endian(values: NDArray[Any]) -> bytes:
    """Return the bytes of an array, row by row."""
    return np.asarray(values, values.dtype.newbyteorder("<")).tobytes()


def in_base64(rows: NDArray[Any]) -> list[str]:
    """Return the bytes of each row in base64; OpenAI's clients decode those of float32."""
    return [b64encode(little_endian(row)).decode() for row in rows]


def _octets(rows: NDArray[Any]) -> Representation:
    """Return rows as bytes, with headers for `np.frombuffer(content, dtype).reshape(shape)`."""
    headers = [
        (b"x-embedding-shape", b"%d,%d" % rows.shape),
        (b"x-embedding-dtype", rows.dtype.name.encode()),
    ]
    return Representation(map(little_endian, groups(rows)), OCTETS, headers)
