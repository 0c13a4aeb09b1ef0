"""Request bodies: bytes to typed fields. Fast when all is well, exact when something is not."""

import asyncio
import re
from collections.abc import Callable
from typing import Any, TypeVar

import orjson

from app.api import diagnosis
from app.api.fields import Misfit, Shape

T = TypeVar("T")

LARGE_BYTES = 128 * 1024  # that take longer than a millisecond or two to read
_MINUS_ZERO = re.compile(rb"-0(?=[\s,\]}])(?<=[\s,\[:]-0)")
_ESCAPED_LETTER = re.compile(rb"\\u00[4-7]")


async def in_turns(body: bytes, make: Callable[[bytes], T]) -> T:
    """What is made of a body; of a large one on a thread, so that others have their turns."""
    if len(body) <= LARGE_BYTES:
        return make(body)
    return await asyncio.to_thread(make, body)


def read(body: bytes, shape: Shape) -> dict[str, Any]:
    """The typed fields of a JSON body.

    Raises: MalformedBody or MistypedBody with TEI's text.
    """
    try:
        found = orjson.loads(body)
        if type(found) is dict and not _needs_care(body, shape):
            return shape.read(found)
    except (orjson.JSONDecodeError, Misfit):
        pass
    return diagnosis.read(body, shape)


def _needs_care(body: bytes, shape: Shape) -> bool:
    """Whether orjson may have hidden a fault: a field given twice, or a number written as `-0`."""
    return (
        max(map(body.count, shape.quoted_names), default=0) > 1
        or _ESCAPED_LETTER.search(body) is not None  # which a field's name may have
        or _MINUS_ZERO.search(body) is not None
    )
