"""Windows of a long text: what each holds, and which of its tokens are used."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.inference.long_texts.windows import (
    MOST_OVERLAP,
    OVERLAP_SHARE,
    Window,
    consecutive,
    overlapping,
)


@pytest.mark.parametrize(
    ("tokens", "sizes"), [(0, [0]), (1, [1]), (10, [10]), (11, [10, 1]), (30, [10, 10, 10])]
)
def test_a_mean_is_of_windows_one_behind_the_other(tokens: int, sizes: list[int]) -> None:
    found = consecutive(tokens, 10)
    assert [window.stop - window.start for window in found] == sizes
    assert [(window.first, window.end) for window in found] == [
        (window.start, window.stop) for window in found
    ]


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        (8, [Window(0, 8, 0, 8)]),
        (9, [Window(0, 8, 0, 4), Window(1, 9, 4, 9)]),
        (14, [Window(0, 8, 0, 7), Window(6, 14, 7, 14)]),
        (15, [Window(0, 8, 0, 5), Window(3, 11, 5, 9), Window(7, 15, 9, 15)]),
    ],
)
def test_windows_change_places_in_the_middle_of_what_both_hold(
    tokens: int, expected: list[Window]
) -> None:
    assert overlapping(tokens, 8) == expected


def margin(token: int, window: Window, tokens: int) -> int:
    """Return a token's distance to the nearest end of its window that is not an end of the text."""
    left = token - window.start if window.start else tokens
    right = window.stop - 1 - token if window.stop < tokens else tokens
    return min(left, right)


@given(tokens=st.integers(0, 5_000), room=st.integers(1, 1_500))
def test_every_token_is_used_once_from_where_it_has_most_context(tokens: int, room: int) -> None:
    found = overlapping(tokens, room)
    assert [window.first for window in found[1:]] == [window.end for window in found[:-1]]
    assert (found[0].first, found[-1].end) == (0, tokens)
    assert {window.stop - window.start for window in found} == {min(tokens, room)}
    overlap = min(room // OVERLAP_SHARE, MOST_OVERLAP)
    places = range(0, tokens, max(1, tokens // 50))  # a sample of them
    for token in places:
        [used] = [window for window in found if window.first <= token < window.end]
        assert used.start <= token < used.stop
        best = max(margin(token, one, tokens) for one in found if one.start <= token < one.stop)
        assert margin(token, used, tokens) == best >= min(overlap // 2, tokens - 1)
    assert (len(found) - 1) * (room - overlap) < max(tokens - overlap, 1)  # no window too many
