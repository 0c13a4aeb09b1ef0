"""Texts for the tiny model that differ, since equal ones are computed once."""

from itertools import islice, product
from typing import Any

from tools import tiny

_WORDS = [word for word in tiny.WORDS[4:] if word.isalpha()]


def texts(count: int, first: int = 0) -> list[str]:
    """So many texts of four words, from the one at a place on."""
    found = islice(product(_WORDS, repeat=4), first, first + count)
    return [" ".join(words) for words in found]


def vectors(asked: list[str]) -> list[Any]:
    """What the model answers, at length 1."""
    return [tiny.unit(tiny.reference(tiny.ids_of(text))) for text in asked]
