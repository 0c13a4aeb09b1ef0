"""Spans: an array of places in a text, each a start and an end."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.api.shapes.fields import ArrayOf, Misfit, unsigned, wrong_type

MOST_SPANS = 2048  # the limit of inputs of /v1/embeddings, which are chunks there


def spans(value: Any) -> NDArray[np.uint64]:
    """Return the starts and ends of spans, (M, 2); whether they lie in a text is for others."""
    if type(value) is not list:
        raise wrong_type(value, "an array of spans [start, end]")
    if len(value) > MOST_SPANS:
        raise Misfit(f"invalid length {len(value)}, expected at most {MOST_SPANS} spans")
    return np.array(ArrayOf(_span)(value), np.uint64).reshape(-1, 2)


def _span(value: Any) -> list[int]:
    if type(value) is not list:
        raise wrong_type(value, "a span [start, end]")
    if len(value) != 2:
        raise Misfit(f"invalid length {len(value)}, expected a span [start, end]")
    return ArrayOf(unsigned)(value)
