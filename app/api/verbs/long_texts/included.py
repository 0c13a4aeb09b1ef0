"""Included: what each entry of an answer says of its input, where the request asks for it."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from app.api.shapes.fields import ArrayOf, Field, Variant
from app.api.shapes.openapi_types import COUNT, Schema
from app.inference.computing import Computed

# Each is named as the key that it adds.
INCLUDED: Mapping[str, Schema] = {"tokens": COUNT, "truncated": {"type": "boolean"}}
INCLUDE = Field(
    "include",
    ArrayOf(Variant("`tokens` or `truncated`", {name: name for name in INCLUDED}, "Included")),
    None,
    added=True,
)

Included = Mapping[str, Sequence[Any]]  # the values of a key, by input


def included(names: Collection[str], computed: Computed[Any]) -> Included:
    """Return the values of each key that was asked for."""
    truncated = set(computed.truncated)
    inputs = range(len(computed.token_counts))
    every: Included = {
        "tokens": computed.token_counts,
        "truncated": [place in truncated for place in inputs],
    }
    return {name: values for name, values in every.items() if name in names}


def indexed(found: Included, index: int) -> dict[str, Any]:
    """Return the keys of one entry behind its vector."""
    return {"index": index} | {name: values[index] for name, values in found.items()}
