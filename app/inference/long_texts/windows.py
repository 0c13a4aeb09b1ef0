"""Windows: the parts of a long text that the model computes one by one; pure, in tokens.

A window holds as many tokens of the text as the model has room for beside special tokens and the
prompt, which stand in every window.
"""

from itertools import pairwise
from math import ceil
from typing import NamedTuple

# Of two neighbours in an overlapping plan, as a share of a window, and in tokens: enough context on
# either side of every token, and no more than a third of all tokens computed twice. 256 are what
# the authors of late chunking overlap windows of 8,192 tokens by.
OVERLAP_SHARE = 4
MOST_OVERLAP = 256


class Window(NamedTuple):
    """A range of tokens to compute, and the range in it whose vectors are used."""

    start: int
    stop: int
    first: int
    end: int


def consecutive(tokens: int, room: int) -> list[Window]:
    """Return windows of `room` tokens, one behind the other; the last may be shorter."""
    starts = range(0, max(1, tokens), room)
    return [Window(at, min(at + room, tokens), at, min(at + room, tokens)) for at in starts]


def overlapping(tokens: int, room: int) -> list[Window]:
    """Return full windows that overlap evenly, each with the tokens that it has most context for.

    A token is used from the window in which it is farthest from an end: neighbours change places in
    the middle of what both hold. The ends of the text itself are no end of its context.
    """
    if tokens <= room:
        return consecutive(tokens, room)
    overlap = min(room // OVERLAP_SHARE, MOST_OVERLAP)
    count = ceil((tokens - overlap) / (room - overlap))
    starts = [place * (tokens - room) // (count - 1) for place in range(count)]
    changes = [(start + before + room) // 2 for before, start in pairwise(starts)]
    return [
        Window(start, start + room, first, end)
        for start, first, end in zip(starts, [0, *changes], [*changes, tokens], strict=True)
    ]
