"""Spans of characters, and their tokens."""

from typing import Any

import numpy as np
import pytest

from app.errors import EmptyInput, InvalidInput
from app.inference.long_texts.spans import require_inputs, require_spans, token_ranges

# "the cats": `the`, ` cat` with the space before it, `s`.
PLACES = np.array([2, 6, 7])


def made(*spans: tuple[int, int]) -> Any:
    return np.array(spans, np.uint64).reshape(-1, 2)


@pytest.mark.parametrize(
    ("span", "expected"),
    [
        ((0, 8), (0, 3)),
        ((0, 4), (0, 1)),  # the space goes with the word behind it
        ((4, 8), (1, 3)),
        ((3, 8), (1, 3)),
        ((0, 7), (0, 2)),  # within a word, between two tokens
        ((0, 6), (0, 1)),  # within a token, which goes with its last character
        ((6, 8), (1, 3)),
    ],
)
def test_a_token_belongs_where_its_last_character_stands(
    span: tuple[int, int], expected: tuple[int, int]
) -> None:
    assert token_ranges(made(span), PLACES, "spans").tolist() == [list(expected)]


def test_spans_may_overlap_and_come_in_any_order() -> None:
    found = token_ranges(made((3, 8), (0, 8), (0, 3), (0, 8)), PLACES, "spans")
    assert found.tolist() == [[1, 3], [0, 3], [0, 1], [0, 3]]


@pytest.mark.parametrize(
    ("field", "message"), [("spans", "`spans[1]` is [3, 6]"), ("input", "`input[1]`")]
)
def test_a_span_without_a_token_is_refused(field: str, message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        token_ranges(made((0, 4), (3, 6)), PLACES, field)
    assert str(caught.value) == (
        f"Input validation error: {message}: it holds no token; one counts where its last "
        "character stands"
    )


@pytest.mark.parametrize(
    ("spans", "message"),
    [
        ([(0, 8), (8, 8)], "`spans[1]` is [8, 8]: a span has to end after its start"),
        ([(5, 4)], "`spans[0]` is [5, 4]: a span has to end after its start"),
        ([(0, 8), (7, 9)], "`spans[1]` is [7, 9]: `inputs` has 8 characters"),
        ([(0, 2**64 - 1)], f"`spans[0]` is [0, {2**64 - 1}]: `inputs` has 8 characters"),
    ],
)
def test_a_span_must_lie_in_the_text(spans: list[tuple[int, int]], message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        require_spans(made(*spans), 8)
    assert str(caught.value) == f"Input validation error: {message}"


def test_there_is_a_span_and_no_input_is_empty() -> None:
    require_spans(made((0, 8)), 8)
    require_inputs(made((0, 3), (4, 8)))
    with pytest.raises(EmptyInput, match="`spans` cannot be empty"):
        require_spans(made(), 8)
    with pytest.raises(EmptyInput, match=r"`input\[1\]` cannot be empty"):
        require_inputs(made((0, 3), (3, 3), (4, 8)))
