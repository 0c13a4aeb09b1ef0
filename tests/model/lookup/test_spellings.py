"""Spellings of a pooling."""

import pytest

from app.model.lookup import spellings


@pytest.mark.parametrize("text", ["last-token", "last_token", "lasttoken", " Last-Token "])
def test_a_pooling_is_meant_however_it_is_spelt(text: str) -> None:
    assert spellings.pooling(text) == "last_token"


def test_an_invalid_pooling_lists_the_valid_ones() -> None:
    with pytest.raises(ValueError, match=r"must be one of cls, mean.*last-token"):
        spellings.pooling("average")


def test_every_pooling_is_known_by_its_own_name() -> None:
    assert all(spellings.pooling(name) == choice for name, choice in spellings.POOLINGS.items())


def test_the_command_of_an_export_has_what_a_server_was_asked_for() -> None:
    assert spellings.export_command("a/b", None, None, "auto") == "make export MODEL_ID=a/b"
    assert spellings.export_command("a/b", "v2", "last_token", "int8") == (
        "make export MODEL_ID=a/b REVISION=v2 POOLING=last-token DTYPE=int8"
    )
    assert spellings.export_command("a", None, None, "int16") == "make export MODEL_ID=a"
