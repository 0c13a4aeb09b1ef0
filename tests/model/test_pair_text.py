import pytest

from app.model.pair_text import PairText

PLAIN = PairText("<", "|", ">")


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        (PLAIN, "< q | d\n>"),
        (PairText("<", "|", ">", trims=True), "<q|d>"),
        (PairText("<", "|", ">", document_first=True), "< d\n| q >"),
    ],
)
def test_words_stand_around_both_texts(how: PairText, expected: str) -> None:
    assert how.text(" q ", " d\n") == expected


@pytest.mark.parametrize(
    ("ids", "length", "expected"),
    [
        ([1, 2, 3], 4, [1, 2, 3]),  # shorter: its own end fits
        ([1, 2, 3, 4], 4, [1, 2, 8, 9]),
        ([1, 2], 2, [8, 9]),
        ([1], 1, [9]),
    ],
)
def test_a_full_text_ends_as_every_other(ids: list[int], length: int, expected: list[int]) -> None:
    assert PairText("<", "|", ">", ending=(8, 9)).ended(ids, length) == expected
    assert PLAIN.ended(ids, length) == ids
