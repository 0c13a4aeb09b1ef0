"""Which inputs share a batch, and how a batch is padded: pure functions over lengths and arrays."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from app.inference.manifest import Padding


@dataclass(frozen=True, slots=True, eq=False)
class TokenizedInput:
    """One input as token ids, special tokens included, not padded."""

    input_ids: NDArray[np.int64]  # (S,)
    token_type_ids: NDArray[np.int64] | None = None  # (S,); None where all are 0

    def __len__(self) -> int:
        return len(self.input_ids)


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Padded inputs, ready for the graph; every array is C-contiguous."""

    input_ids: NDArray[np.int64]  # (B, S)
    attention_mask: NDArray[np.int64]  # (B, S)
    token_type_ids: NDArray[np.int64]  # (B, S)


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """What one run may hold."""

    max_tokens: int  # longest input × rows, padding included
    max_rows: int | None = None


def collate(inputs: Sequence[TokenizedInput], padding: Padding) -> Batch:
    """Pad inputs to the longest: N × (Sᵢ,) becomes (N, S).

    Raises: ValueError for an empty sequence.
    """
    longest = max(map(len, inputs))
    shape = (len(inputs), longest)
    input_ids = np.full(shape, padding.id, np.int64)
    attention_mask = np.zeros(shape, np.int64)
    token_type_ids = np.full(shape, padding.type_id, np.int64)
    for row, tokens in enumerate(inputs):
        size = len(tokens)
        place = slice(0, size) if padding.side == "right" else slice(longest - size, longest)
        input_ids[row, place] = tokens.input_ids
        attention_mask[row, place] = 1
        token_type_ids[row, place] = 0 if tokens.token_type_ids is None else tokens.token_type_ids
    return Batch(input_ids, attention_mask, token_type_ids)


def choose(lengths: Sequence[int], anchor: int, limits: BatchLimits) -> slice:
    """The rows that share a run with row `anchor`: a slice of `lengths`, which is ascending.

    The slice grows from the anchor towards whichever neighbour is nearer in length, as long as
    the padded tokens fit and no row is padded by more than `allowed_padding`. The anchor is
    always in it, even where it alone exceeds the limits.
    """
    first, last = anchor, anchor
    max_rows = len(lengths) if limits.max_rows is None else limits.max_rows

    def fits(low: int, high: int) -> bool:
        longest, rows = lengths[high], high - low + 1
        return (
            rows <= max_rows
            and longest * rows <= limits.max_tokens
            and longest - lengths[low] <= allowed_padding(longest)
        )

    while True:
        below = first > 0 and fits(first - 1, last)
        above = last + 1 < len(lengths) and fits(first, last + 1)
        if below and above:
            below = lengths[last] - lengths[first - 1] <= lengths[last + 1] - lengths[first]
        if below:
            first -= 1
        elif above:
            last += 1
        else:
            return slice(first, last + 1)


def allowed_padding(longest: int) -> int:
    """How many padding tokens a row may carry beside one of `longest` tokens.

    A run costs about as much as 16 tokens before its first one, so padding a row by less is
    cheaper than a run of its own; beyond that an eighth of the length bounds the waste.
    """
    return max(16, longest // 8)
