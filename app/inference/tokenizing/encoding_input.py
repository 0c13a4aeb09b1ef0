"""Inputs: a text, a pair of texts or token ids, and how large each is."""

from collections.abc import Sequence
from typing import TypeGuard

from app.errors import EmptyInput
from app.model.names import Side

# A text, a pair of texts, or token ids of this model's vocabulary.
EncodingInput = str | tuple[str, str] | tuple[int, ...]

_CHARACTERS_PER_ID = 8  # about what it costs to turn an id back into text


def is_pair(item: EncodingInput) -> TypeGuard[tuple[str, str]]:
    """Check whether an input is two texts."""
    return isinstance(item, tuple) and bool(item) and isinstance(item[0], str)


def characters(item: EncodingInput) -> int:
    """Count the Unicode scalars of a text or of both texts of a pair, or the ids of a list."""
    if isinstance(item, str):
        return len(item)
    return len(item[0]) + len(item[1]) if is_pair(item) else len(item)


def require_content(item: EncodingInput) -> None:
    """Refuse an empty input.

    Raises: EmptyInput.
    """
    if not characters(item):
        raise EmptyInput("Input validation error: `inputs` cannot be empty")


def require_ids(ids: Sequence[int]) -> None:
    """Refuse to decode an empty list of ids.

    Raises: EmptyInput.
    """
    if not ids:
        raise EmptyInput("Input validation error: `input_ids` cannot be empty")


def kept_end(text: str, size: int, side: Side) -> str:
    """Return the first or last `size` characters: those that truncation of that side keeps."""
    return text[:size] if side == "right" else text[-size:]


def cost(item: EncodingInput) -> int:
    """Estimate the cost of an input in characters of text."""
    if isinstance(item, str):
        return 1 + len(item)
    size = characters(item)
    return 1 + (size if is_pair(item) else size * _CHARACTERS_PER_ID)
