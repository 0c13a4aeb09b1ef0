"""Token places: where each token of a text stands in its UTF-8 bytes."""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate

from tokenizers import Encoding


@dataclass(frozen=True, slots=True)
class Token:
    """One token of a text, with its place in the UTF-8 bytes of prompt and text."""

    id: int
    text: str
    special: bool  # added around the text, not part of it
    start: int | None
    stop: int | None


def located(encoding: Encoding, text: str) -> Iterator[Token]:
    """Yield tokens with offsets in bytes; the library's are in characters."""
    starts = array("Q", [0])
    starts.extend(accumulate(len(character.encode()) for character in text))
    # Each of these properties builds its whole list anew, so read it once.
    for token_id, token, special, (start, stop) in zip(
        encoding.ids,
        encoding.tokens,
        encoding.special_tokens_mask,
        encoding.offsets,
        strict=True,
    ):
        if special:
            yield Token(token_id, token, True, None, None)
        else:
            yield Token(token_id, text[start:stop], False, starts[start], starts[stop])
