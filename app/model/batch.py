"""Batches: which inputs share one, and how it is padded; pure functions over lengths and arrays.

Which lengths are padded to depends on the provider: `inference.providers.plan.Plan.limits`.
"""

from bisect import bisect_left
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from app.errors import BackendFailed
from app.model.names import PER_TOKEN_OUTPUTS, POOLING_MASK, Integers
from app.model.parts import Padding
from app.records import record

# Cost of a run before its first token, in tokens. Measured with all-MiniLM-L6-v2 on an AMD EPYC
# with AVX2: 13 on one thread, 16 on two.
RUN_COST = 16
# Tokens of one run on a processor, unless its provider knows better. Past what the caches hold,
# larger batches cost more per token: on two cores 32×128 tokens had nine tenths of the throughput
# of 8×128 and of 32×32.
CPU_RUN_TOKENS = 1024


@record(eq=False)
class TokenizedInput:
    """One input as token ids, special tokens included, not padded."""

    input_ids: NDArray[np.int64]  # (S,)
    token_type_ids: NDArray[np.int64] | None = None  # (S,); None if all are 0
    prompt_length: int = 0  # tokens at the start that are not pooled
    truncated: bool = False  # whether some of the input was left out

    def __len__(self) -> int:
        return len(self.input_ids)


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Padded inputs, ready for the graph; every array is C-contiguous."""

    input_ids: NDArray[np.int64]  # (B, S)
    attention_mask: NDArray[np.int64]  # (B, S)
    token_type_ids: NDArray[np.int64]  # (B, S)
    pooling_mask: NDArray[np.int64]  # (B, S)

    def feed(
        self, names: Collection[str], integers: Integers = "int64"
    ) -> dict[str, NDArray[np.int64] | NDArray[np.int32]]:
        """Return the arrays for a graph whose inputs have these names and this type."""
        every = {
            "input_ids": self.input_ids,
            "attention_mask": self.attention_mask,
            "token_type_ids": self.token_type_ids,
            POOLING_MASK: self.pooling_mask,
        }
        read = {name: array for name, array in every.items() if name in names}
        return {name: array.astype(integers, copy=False) for name, array in read.items()}


Results = dict[str, NDArray[np.float32]]  # (B, …) each, by name of the output


class Runs(Protocol):
    """A session that can run batches."""

    def run(self, batch: Batch, outputs: Sequence[str]) -> Results: ...


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """The limits of one run."""

    max_tokens: int  # longest input × rows, padding included
    max_rows: int | None = None
    # For a provider that prepares itself for each new shape: the only ones it is given.
    lengths: tuple[int, ...] = ()  # ascending; empty: every length
    row_counts: tuple[int, ...] = ()  # ascending, from 1; empty: every number
    run_cost: int = RUN_COST  # cost of a run before its first token, in tokens

    def padded(self, length: int) -> int:
        """Return the length that rows of up to `length` tokens are padded to."""
        place = bisect_left(self.lengths, length)
        return self.lengths[place] if place < len(self.lengths) else length

    def rows(self, count: int) -> int:
        """Return how many of `count` rows may be one batch, whatever their length."""
        most = count if self.max_rows is None else min(count, self.max_rows)
        return max((rows for rows in self.row_counts if rows <= most), default=most)

    def fits(self, rows: int, longest: int) -> bool:
        """Check whether that many rows of that length may be one batch; a single row always may."""
        return rows == 1 or self.padded(longest) * rows <= self.max_tokens

    def capped(self, rows: int | None) -> Self:
        """Return the same limits with at most `rows` rows; None for no further bound."""
        counts = [count for count in (self.max_rows, rows) if count is not None]
        return replace(self, max_rows=min(counts, default=None))

    def shapes(self) -> list[tuple[int, int]]:
        """Return every (rows, length) within the tokens, fewest rows first; empty if any may occur.

        A single row may be longer; such shapes would take a server too long to prepare.
        """
        return [
            (rows, length)
            for rows in self.row_counts
            for length in self.lengths
            if self.rows(rows) == rows and rows * length <= self.max_tokens
        ]


def ladder(longest: int) -> tuple[int, ...]:
    """Return the lengths that rows are padded to: every 8 up to 64, then four for each doubling.

    On average a row is padded by a twelfth of its length, and 256 tokens take 16 lengths.
    """
    steps = []
    step = length = 8
    while length < longest:
        steps.append(length)
        step = max(8, (1 << (length.bit_length() - 1)) // 4)
        length += step
    return (*steps, longest)


def collate(inputs: Sequence[TokenizedInput], padding: Padding, length: int | None = None) -> Batch:
    """Pad inputs to `length`, or to the longest of them: N × (Sᵢ,) becomes (N, S).

    Raises: ValueError for an empty sequence.
    """
    longest = max(max(map(len, inputs)), length or 0)
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
    pooling_mask = attention_mask
    if any(tokens.prompt_length for tokens in inputs):
        pooling_mask = attention_mask.copy()
        for row, tokens in enumerate(inputs):
            start = 0 if padding.side == "right" else longest - len(tokens)
            pooling_mask[row, start : start + tokens.prompt_length] = 0
    return Batch(input_ids, attention_mask, token_type_ids, pooling_mask)


def blank(rows: int, length: int, padding: Padding) -> Batch:
    """Return a batch of that shape that holds no input, to warm up with."""
    return collate([TokenizedInput(np.zeros(length, np.int64))] * rows, padding)


def uneven(rows: int, length: int, padding: Padding) -> Batch:
    """Return such a batch with one token of padding, if there is a second row to need it."""
    if rows == 1 or length == 1:
        return blank(rows, length, padding)
    inputs = [TokenizedInput(np.zeros(length - (row == 0), np.int64)) for row in range(rows)]
    return collate(inputs, padding)


def largest(limits: BatchLimits, longest: int) -> list[tuple[int, int]]:
    """Return the (rows, length) that take most memory, for inputs of up to `longest` tokens.

    Attention takes most with long rows. A single row has no padding, and some graphs take more
    memory with padding, so two rows are included if any shape may occur.
    """
    rows = limits.rows(max(1, limits.max_tokens // longest))
    shapes = [(rows, limits.padded(longest))]
    half = limits.max_tokens // 2
    if rows == 1 and 1 < half < longest and limits.rows(2) == 2 and not limits.lengths:
        shapes.append((2, half))
    return shapes


def require_rows(
    results: Mapping[str, NDArray[np.float32]], outputs: Sequence[str], batch: Batch
) -> None:
    """Raise BackendFailed unless every output has a vector for each row, or for each token."""
    rows, length = batch.input_ids.shape
    for name in outputs:
        shape = results[name].shape
        if name in PER_TOKEN_OUTPUTS:
            fits = shape[:2] == (rows, length) and len(shape) in {2, 3}
        else:
            fits = shape[:1] == (rows,) and len(shape) == 2
        if not fits:
            raise BackendFailed(
                f"Backend error: {name} has shape {shape} for {rows} inputs of {length} tokens"
            )


def choose(lengths: Sequence[int], anchor: int, limits: BatchLimits) -> slice:
    """Return the rows that share a run with row `anchor`: a slice of ascending `lengths`.

    The slice grows from the anchor, by the neighbour that costs less padding, as long as the padded
    tokens fit. Of all these slices it is the one that wastes fewest tokens per row: padding, and a
    share of the run's own cost. The anchor alone is always allowed.
    """
    most = limits.rows(len(lengths))
    first = last = anchor
    real = lengths[anchor]  # tokens of the slice, without padding
    best, least = slice(anchor, anchor + 1), float("inf")
    while True:
        rows = last - first + 1
        wasted = limits.run_cost + rows * limits.padded(lengths[last]) - real
        if limits.rows(rows) == rows and wasted <= least * rows:
            best, least = slice(first, last + 1), wasted / rows
        below = first > 0 and limits.fits(rows + 1, lengths[last])
        above = last + 1 < len(lengths) and limits.fits(rows + 1, lengths[last + 1])
        if rows == most or not (below or above):
            return best
        if below and above:
            gap = lengths[last + 1] - lengths[last]
            below = lengths[last] - lengths[first - 1] <= rows * gap
        if below:
            first -= 1
            real += lengths[first]
        else:
            last += 1
            real += lengths[last]


def in_order(lengths: Sequence[int], limits: BatchLimits) -> Iterator[slice]:
    """Yield batches within the limits, of rows in their order, whatever their lengths."""
    start = 0
    while start < len(lengths):
        rows = limits.rows(len(lengths) - start)
        while not limits.fits(rows, max(lengths[start : start + rows])):
            rows = limits.rows(rows - 1)
        yield slice(start, start + rows)
        start += rows
