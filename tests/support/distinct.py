"""Distinct texts for the tiny model, since equal ones are computed once."""

from itertools import islice, product
from typing import Any

from tools import tiny

_WORDS = [word for word in tiny.WORDS[4:] if word.isalpha()]


def texts(count: int, first: int = 0) -> list[str]:
    """Return `count` texts of four words, from a place in their sequence on."""
    found = islice(product(_WORDS, repeat=4), first, first + count)
    return [" ".join(words) for words in found]


def vectors(asked: list[str]) -> list[Any]:
    """Return the model's vectors, at length 1."""
    return [tiny.unit(tiny.reference(tiny.ids_of(text))) for text in asked]
