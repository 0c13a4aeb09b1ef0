"""Request bodies: bytes to typed fields. Fast when all is well, exact when something is not."""

import re
from collections.abc import Callable, Iterable
from functools import cache, partial
from typing import Any, TypeVar

import orjson

from app.api.body import streaming
from app.api.body.garbage_collection import uncollected
from app.api.body.scanner import MOST_OPEN
from app.api.shapes.fields import Misfit, Shape
from app.inference.tokenizing.slice_scheduler import SliceScheduler

T = TypeVar("T")

LARGE_BYTES = 128 * 1024  # larger bodies take over a millisecond or two to read
DOUBTFUL_BYTES = 4 * 1024  # the same for the exact reading, at its worst
EXACT = 32  # about how many times longer the exact reading takes
SOON_READ_BYTES = 2_000_000  # read in a few hundredths of a second, except by the exact reading
MOST_CONTAINERS, MOST_VALUES = 20_000, 100_000  # that orjson makes in about 10 ms
_MINUS_ZERO = re.compile(rb"-0(?=[\s,\]}])(?<=[\s,\[:]-0)")
_ESCAPED_LETTER = re.compile(rb"\\u00[4-7]")


async def in_turns(
    body: bytes, shape: Shape, make: Callable[[dict[str, Any]], T], beside: int = 0
) -> T:
    """Return what `make` makes of a body's typed fields; large bodies are read on a thread.

    `beside` is the number of bytes that `make` reads in addition. Raises: MalformedBody or
    MistypedBody with TEI's text, and what `make` raises.
    """
    size = len(body) + beside
    if size <= LARGE_BYTES:
        if len(body) <= DOUBTFUL_BYTES:
            return make(read(body, shape))
        values = _read_fast(body, shape)
        if values is not None:
            return make(values)
    else:
        fast = partial(_made, body, shape, make, _read_unless_crowded)
        made = await _threads().run(fast, left=size, is_small=size <= SOON_READ_BYTES)
        if made is not None:
            return made[0]
    exact = partial(_made, body, shape, make, streaming.read)
    size = EXACT * len(body) + beside
    exactly = await _threads().run(exact, left=size, is_small=size <= SOON_READ_BYTES)
    assert exactly is not None
    return exactly[0]


@cache
def _threads() -> SliceScheduler:
    """Return the threads for long bodies: one, as the interpreter runs one at a time anyway.

    More would only delay the event loop. (SliceScheduler adds one for small bodies.)
    """
    return SliceScheduler(1, "read")


def _made(
    body: bytes,
    shape: Shape,
    make: Callable[[dict[str, Any]], T],
    reading: Callable[[bytes, Shape], dict[str, Any] | None],
) -> tuple[T] | None:
    """Return what `make` makes of a body, or None if this way of reading cannot tell."""
    with uncollected():
        values = reading(body, shape)
        return None if values is None else (make(values),)


def _read_unless_crowded(body: bytes, shape: Shape) -> dict[str, Any] | None:
    return None if _is_crowded(body) else _read_fast(body, shape)


def read(body: bytes, shape: Shape) -> dict[str, Any]:
    """Return the typed fields of a JSON body, at once: it is small.

    Raises: MalformedBody or MistypedBody with TEI's text.
    """
    values = _read_fast(body, shape)
    return streaming.read(body, shape) if values is None else values


def _is_crowded(body: bytes) -> bool:
    """Check whether orjson, which holds the GIL, would make too many objects of a body."""
    if len(body) <= LARGE_BYTES:
        return False
    containers = body.count(b"[") + body.count(b"{")
    return containers > MOST_CONTAINERS or body.count(b",") > MOST_VALUES


def _read_fast(body: bytes, shape: Shape) -> dict[str, Any] | None:
    """Return the typed fields, or None if only the exact reading can tell."""
    try:
        found = orjson.loads(body)
        if type(found) is dict and not _needs_care(body, found, shape):
            values = shape.read(found)
            return None if _too_deep(body, found, shape) else values
    except (orjson.JSONDecodeError, Misfit):
        pass
    return None


def _needs_care(body: bytes, found: dict[str, Any], shape: Shape) -> bool:
    """Check whether orjson may hide a fault: a field given twice, or a number written as `-0`."""
    return (
        _may_stand_twice(body, found, shape)
        or _ESCAPED_LETTER.search(body) is not None  # which may be part of a field's name
        or _MINUS_ZERO.search(body) is not None
    )


def _may_stand_twice(body: bytes, found: dict[str, Any], shape: Shape) -> bool:
    """Check whether a name stands more often in a body than there are fields of that name."""
    names = shape.names if shape.inner else shape.fields.keys() & found
    quoted = shape.quoted_names
    several = {name: times for name in names if (times := body.count(quoted[name])) > 1}
    if not several:
        return False
    if not shape.inner:
        return True
    for name in shape.names_in(found):
        if name in several:
            several[name] -= 1
    return any(several.values())


def _too_deep(body: bytes, found: dict[str, Any], shape: Shape) -> bool:
    """Check whether a field that may hold anything has more levels than serde_json reads."""
    if not shape.open_names or body.count(b"[") + body.count(b"{") <= MOST_OPEN:
        return False
    level = _containers(found[name] for name in shape.open_names if name in found)
    for _ in range(MOST_OPEN - 1):  # the body itself is one level
        level = _containers(inner for one in level for inner in _inside(one))
    return bool(level)


def _containers(values: Iterable[Any]) -> list[Any]:
    return [one for one in values if type(one) in {list, dict}]


def _inside(container: Any) -> Iterable[Any]:
    return container if type(container) is list else container.values()
