"""Model name: a request's name for a model, and the side that may follow it.

A client that can send no field but the usual ones says so whether its texts are queries or
passages: `all-MiniLM-L6-v2-query`, `all-MiniLM-L6-v2-passage`.
"""

from collections.abc import Collection
from typing import Literal

TextSide = Literal["query", "passage"]
# The prompts or routes of each side; the first that a model has counts. sentence-transformers'
# `encode_query` and `encode_document` look for `query`, and for `document`, `passage` and `corpus`;
# the others are names of the same sides in models of other libraries.
_PROMPTS: dict[TextSide, tuple[str, ...]] = {
    "query": ("query", "search_query", "retrieval.query"),
    "passage": ("passage", "document", "corpus", "search_document", "retrieval.passage"),
}


def split_side(name: str) -> tuple[str, TextSide | None]:
    """Return the name of a model without the side behind it, and the side, if there is one."""
    for side in _PROMPTS:
        base = name.removesuffix(f"-{side}")
        if base and base != name:
            return base, side
    return name, None


def side_of(name: str | None, own: Collection[str]) -> TextSide | None:
    """Return the side that a request's name for a model ends in, unless that name is its own."""
    return None if name is None or name in own else split_side(name)[1]


def prompt_of(side: TextSide, known: Collection[str]) -> str | None:
    """Return the name of a side's prompt or route among those that a model has, or None."""
    return next((name for name in _PROMPTS[side] if name in known), None)
