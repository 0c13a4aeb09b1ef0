"""Limits: the longest input by a config.json and a tokenizer."""

from pathlib import Path
from typing import Any

import pytest

from app.model.parts import Padding
from export.checkpoint import limits
from export.config.documents import Document
from export.errors import ExportError


def document(**content: Any) -> Document:
    return Document(Path("config.json"), content)


@pytest.mark.parametrize(
    ("config", "model_type", "expected"),
    [
        ({"max_position_embeddings": 512}, "bert", 512),
        ({"max_position_embeddings": 514, "pad_token_id": 1}, "xlm-roberta", 512),
        ({"max_position_embeddings": -1}, "xlnet", None),
        ({}, "t5", None),
    ],
)
def test_places_are_the_positions_that_a_family_uses(
    config: dict[str, int], model_type: str, expected: int | None
) -> None:
    assert limits.places(document(**config), model_type) == expected


@pytest.mark.parametrize(
    ("stated", "own", "places", "expected"),
    [
        (256, 512, 512, 256),
        (None, 128, 512, 128),
        (None, int(1e30), 512, 512),
        (1024, None, 512, 512),
        (None, 64, None, 64),
    ],
)
def test_an_input_is_as_long_as_all_of_them_allow(
    stated: int | None, own: int | None, places: int | None, expected: int
) -> None:
    tokenizer = document() if own is None else document(model_max_length=own)
    assert limits.max_input_length(stated, tokenizer, places) == expected


@pytest.mark.parametrize(
    ("stated", "places", "message"),
    [(None, None, "says how long an input may be"), (512, -1, "maximum input length is -1: ")],
)
def test_no_length_and_none_that_makes_sense_are_refused(
    stated: int | None, places: int | None, message: str
) -> None:
    with pytest.raises(ExportError, match=message):
        limits.max_input_length(stated, document(), places)


def test_padding_and_cutting_have_sides_of_their_own() -> None:
    tokenizer = document(padding_side="left", pad_token_type_id=3)
    assert limits.padding(document(pad_token_id=7), tokenizer) == Padding(7, 3, "left")
    assert limits.truncation_side(tokenizer) == "right"
    with pytest.raises(ExportError, match=r"truncation_side: 'middle' is not left or right"):
        limits.truncation_side(document(truncation_side="middle"))
