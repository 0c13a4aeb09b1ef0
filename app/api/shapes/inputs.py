"""Inputs: the forms in which a body holds texts, pairs and token ids.

Rules and messages are those of the deserializers in TEI 1.9.3 (router/src/http/types.rs).
"""

from collections.abc import Iterable, Sequence
from sys import getsizeof
from typing import Any

from app.api.shapes.fields import MAX_U32, ArrayOf, Misfit, string, wrong_type
from app.inference.tokenizing.encoding_input import EncodingInput

ID_BYTES = 36  # an integer, and its place in a list


def embed_input(value: Any) -> tuple[list[str | tuple[int, ...]], bool]:
    """Return the inputs, and whether they came as a batch.

    A string is one text; an array of ids is one pre-tokenized input, even if empty; an array of
    strings and id arrays is a batch.
    """
    if type(value) is str:
        return [value], False
    if type(value) is list:
        if _are_ids(value):
            return [tuple(value)], False
        if all(type(one) is str or (type(one) is list and _are_ids(one)) for one in value):
            return [one if type(one) is str else tuple(one) for one in value], True
    raise Misfit("data did not match any variant of untagged enum Input")


PREDICT_INPUT = (
    "a string, a pair of strings [string, string] or a batch of mixed strings and pairs "
    "[[string], [string, string], ...]"
)


def predict_input(value: Any) -> tuple[list[str | tuple[str, str]], bool]:
    """Return the inputs, and whether they came as a batch.

    A string, or an array of one, is a text; an array of two strings is a pair; an array of arrays
    is a batch of texts and pairs. The first element decides which.
    """
    if type(value) is str:
        return [value], False
    if type(value) is not list:
        raise wrong_type(value, PREDICT_INPUT)
    if not value:
        raise Misfit(f"invalid length 0, expected {PREDICT_INPUT}")
    if type(value[0]) is str:
        # A third text must be a string to be counted; those after it are not even read.
        return [text_or_pair(ArrayOf(string)(value[:3]))], False
    if is_first_of_batch(value[0]):
        return [text_or_pair(ArrayOf(string)(one)) for one in value], True
    raise Misfit("data did not match any variant of untagged enum Internal", path="[0]")


def tokenize_input(value: Any) -> list[str]:
    """Read a text, or an array of texts."""
    if type(value) is str:
        return [value]
    if type(value) is list and all(type(one) is str for one in value):
        return value
    raise Misfit("data did not match any variant of untagged enum TokenizeInput")


def decode_ids(value: Any) -> list[list[int]]:
    """Read an array of ids, even an empty one, or an array of such arrays."""
    if type(value) is list:
        if _are_ids(value):
            return [value]
        if all(type(one) is list and _are_ids(one) for one in value):
            return value
    raise Misfit("data did not match any variant of untagged enum InputIds")


def memory_of(inputs: Iterable[EncodingInput | list[int]]) -> int:
    """Estimate the bytes that inputs take; ids take ten times their size in the body."""
    texts: dict[int, str] = {}  # by identity: a query is one text, however many pairs it is part of
    size = 0
    for one in inputs:
        for part in (one,) if isinstance(one, str) else one[:2]:
            if isinstance(part, str):
                texts[id(part)] = part
        if not isinstance(one, str):
            size += ID_BYTES * len(one)
    return size + sum(map(getsizeof, texts.values()))


def is_first_of_batch(value: Any) -> bool:
    """Check whether the first element of an input to predict makes it a batch."""
    return type(value) is list and all(type(one) is str for one in value)


def text_or_pair(texts: Sequence[str]) -> str | tuple[str, str]:
    """Return the input that an array of one or two texts stands for.

    Raises: Misfit for any other number of texts.
    """
    if len(texts) == 1:
        return texts[0]
    if len(texts) == 2:
        return texts[0], texts[1]
    raise Misfit(f"invalid length {len(texts)}, expected {PREDICT_INPUT}")


def _are_ids(values: Sequence[Any]) -> bool:
    return all(type(one) is int and 0 <= one <= MAX_U32 for one in values)
