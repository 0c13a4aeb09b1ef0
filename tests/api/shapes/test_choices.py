"""Several words out of a few, as an array."""

from typing import Any

import pytest

from app.api.shapes.choices import SeveralOf
from app.api.shapes.fields import Misfit

read = SeveralOf(("red", "green"), "Colour")


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (["red"], ("red",)),
        (["green", "red"], ("red", "green")),
        (["green", "green"], ("green",)),
    ],
)
def test_words_come_once_and_in_the_order_of_their_declaration(
    given: list[str], found: tuple[str, ...]
) -> None:
    assert read(given) == found


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("red", 'invalid type: string "red", expected an array of `red`, `green`'),
        ({}, "invalid type: map, expected an array of `red`, `green`"),
        ([], "invalid length 0, expected at least one of `red`, `green`"),
        (["red", "blue"], "unknown variant `blue`, expected one of `red`, `green`"),
        (["red", 1], "invalid type: integer `1`, expected one of `red`, `green`"),
        ([None], "invalid type: null, expected one of `red`, `green`"),
        ([["red"]], "invalid type: sequence, expected one of `red`, `green`"),
    ],
)
def test_invalid_choices_list_the_valid_ones(given: Any, message: str) -> None:
    with pytest.raises(Misfit) as caught:
        read(given)
    assert caught.value.message == message
