"""Spans in a body."""

from typing import Any

import pytest

from app.api.shapes.fields import Misfit
from app.api.shapes.spans import MOST_SPANS, spans


def test_spans_are_pairs_of_places() -> None:
    assert spans([[0, 3], [2**64 - 1, 0]]).tolist() == [[0, 3], [2**64 - 1, 0]]
    assert spans([]).shape == (0, 2)


@pytest.mark.parametrize(
    ("value", "path", "message"),
    [
        ("x", "", 'invalid type: string "x", expected an array of spans [start, end]'),
        ([1, 2], "[0]", "invalid type: integer `1`, expected a span [start, end]"),
        ([[0, 1], [0]], "[1]", "invalid length 1, expected a span [start, end]"),
        ([[0, 1, 2]], "[0]", "invalid length 3, expected a span [start, end]"),
        ([[0, -1]], "[0][1]", "invalid value: integer `-1`, expected usize"),
        ([[0, 1.5]], "[0][1]", "invalid type: floating point `1.5`, expected usize"),
        ([[None, 1]], "[0][0]", "invalid type: null, expected usize"),
        (
            [[0, 1]] * (MOST_SPANS + 1),
            "",
            f"invalid length {MOST_SPANS + 1}, expected at most {MOST_SPANS} spans",
        ),
    ],
)
def test_invalid_spans_are_refused_with_their_place(value: Any, path: str, message: str) -> None:
    with pytest.raises(Misfit) as caught:
        spans(value)
    assert (caught.value.path, caught.value.message) == (path, message)
