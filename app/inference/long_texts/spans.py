"""Spans: which tokens of a text a range of its characters holds; pure."""

import numpy as np
from numpy.typing import NDArray

from app.errors import EmptyInput, InvalidInput


def require_inputs(spans: NDArray[np.uint64]) -> None:
    """Refuse spans (M, 2) of inputs that were joined if any of them is empty.

    Raises: EmptyInput naming the first.
    """
    empty = spans[:, 0] == spans[:, 1]
    if empty.any():
        raise EmptyInput(f"Input validation error: `input[{np.argmax(empty)}]` cannot be empty")


def require_spans(spans: NDArray[np.uint64], characters: int) -> None:
    """Refuse a request's spans (M, 2) that do not lie in a text of that many characters.

    Raises: EmptyInput for none, InvalidInput for the first that is empty or beyond the text.
    """
    if not len(spans):
        raise EmptyInput("`spans` cannot be empty")
    starts, stops = spans[:, 0], spans[:, 1]
    for fits, reason in (
        (starts < stops, "a span has to end after its start"),
        (stops <= characters, f"`inputs` has {characters} characters"),
    ):
        if not fits.all():
            place = int(np.argmin(fits))
            raise InvalidInput(f"Input validation error: {_shown(spans, place)}: {reason}")


def token_ranges(
    spans: NDArray[np.uint64], places: NDArray[np.int64], name: str
) -> NDArray[np.int64]:
    """Return the first token of each span and the one behind its last, (M, 2).

    A token belongs to the span in which its last character stands, at `places`, ascending: so a
    token that begins with the white space before its word goes with the word.

    Raises: InvalidInput for the first span without a token; `name` is the field that made it.
    """
    ranges = np.searchsorted(places, spans.astype(np.int64))
    has_tokens = ranges[:, 0] < ranges[:, 1]
    if not has_tokens.all():
        place = int(np.argmin(has_tokens))
        shown = _shown(spans, place) if name == "spans" else f"`{name}[{place}]`"
        raise InvalidInput(
            f"Input validation error: {shown}: it holds no token; one counts where its last "
            "character stands"
        )
    return ranges.astype(np.int64)


def _shown(spans: NDArray[np.uint64], place: int) -> str:
    start, stop = spans[place]
    return f"`spans[{place}]` is [{start}, {stop}]"
