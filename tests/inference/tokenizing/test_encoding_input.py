"""Sizes of inputs, invalid inputs, and what truncation keeps of a text."""

import pytest

from app.errors import EmptyInput
from app.inference.tokenizing.encoding_input import (
    EncodingInput,
    characters,
    cost,
    is_pair,
    kept_end,
    require_content,
    require_ids,
)


@pytest.mark.parametrize(
    ("item", "pair", "size", "worth"),
    [
        ("cats", False, 4, 5),
        (("a", "bcd"), True, 4, 5),
        ((1, 2, 3), False, 3, 25),
        (("", ""), True, 0, 1),
        ((), False, 0, 1),
    ],
)
def test_an_input_is_worth_its_characters(
    item: EncodingInput, pair: bool, size: int, worth: int
) -> None:
    assert (is_pair(item), characters(item), cost(item)) == (pair, size, worth)


@pytest.mark.parametrize("item", ["", (), ("", "")])
def test_an_input_in_which_there_is_nothing_is_refused(item: EncodingInput) -> None:
    with pytest.raises(EmptyInput, match="`inputs` cannot be empty"):
        require_content(item)


def test_a_pair_of_which_one_side_is_empty_has_content() -> None:
    require_content(("", "a"))


def test_no_ids_cannot_be_decoded() -> None:
    require_ids([0])
    with pytest.raises(EmptyInput, match="`input_ids` cannot be empty"):
        require_ids([])


def test_truncation_keeps_the_other_end() -> None:
    assert kept_end("abcdef", 2, "right") == "ab"
    assert kept_end("abcdef", 2, "left") == "ef"
