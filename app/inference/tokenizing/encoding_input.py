"""Inputs: a text, a pair of texts or token ids, and how large each is."""

from collections.abc import Sequence
from typing import TypeGuard

from app.errors import EmptyInput
from app.model.names import Side

# A text, a pair of texts, or token ids of this model's vocabulary.
EncodingInput = str | tuple[str, str] | tuple[int, ...]

_CHARACTERS_PER_ID = 8  # about what an id costs that is made a text again


def is_pair(item: EncodingInput) -> TypeGuard[tuple[str, str]]:
    """Whether an input is two texts."""
    return isinstance(item, tuple) and bool(item) and isinstance(item[0], str)


def characters(item: EncodingInput) -> int:
    """Unicode scalars of a text or of both texts of a pair; of ids, their number."""
    return len(item[0]) + len(item[1]) if is_pair(item) else len(item)


def require_content(item: EncodingInput) -> None:
    """Refuse an input in which there is nothing.

    Raises: EmptyInput.
    """
    if not characters(item):
        raise EmptyInput("Input validation error: `inputs` cannot be empty")


def require_ids(ids: Sequence[int]) -> None:
    """Refuse to decode a list in which there is no id.

    Raises: EmptyInput.
    """
    if not ids:
        raise EmptyInput("Input validation error: `input_ids` cannot be empty")


def kept_end(text: str, size: int, side: Side) -> str:
    """The first or the last `size` characters: those that truncation keeps."""
    return text[:size] if side == "right" else text[-size:]


def cost(item: EncodingInput) -> int:
    """About how many characters of text an input is worth."""
    size = characters(item)
    return 1 + (size if isinstance(item, str) or is_pair(item) else size * _CHARACTERS_PER_ID)
