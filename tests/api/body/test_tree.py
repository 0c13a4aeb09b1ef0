"""Instances are read out of parsed values, with the errors of a body."""

from typing import Any

import pytest

from app.api.body import reader, tree
from app.api.shapes.fields import Misfit
from app.api.verbs.tei_embed import EMBED


@pytest.mark.parametrize(
    ("instance", "message"),
    [
        ({"truncate": 1}, "invalid type: integer `1`, expected a boolean"),
        ({"normalize": 1, "dimensions": -1, "inputs": 1}, "invalid value: integer `-1`, expected usize"),
        ({"inputs": "a", "truncation_direction": 1}, "invalid type: integer `1`, expected string or map"),
        ({"inputs": "a", "truncation_direction": {}}, "invalid value: map, expected map with a single key"),
        ({"inputs": "a", "truncation_direction": {"Left": 1}}, "invalid type: integer `1`, expected unit"),
        ({"inputs": "a", "dimensions": 1.5e300}, "invalid type: floating point `1.5e300`, expected usize"),
        ({}, "missing field `inputs`"),
        ([], "invalid length 0, expected struct EmbedRequest with 6 elements"),
        (["a"], "invalid length 3, expected struct EmbedRequest with 6 elements"),
        (["a", None, "Left", None, True, None, 7], "invalid length 7, expected fewer elements in array"),
        ("a", 'invalid type: string "a", expected struct EmbedRequest'),
    ],
)  # fmt: skip
def test_an_instance_is_read_in_alphabetical_order(instance: Any, message: str) -> None:
    with pytest.raises(Misfit) as caught:
        tree.read(instance, EMBED)
    assert caught.value.message == message


@pytest.mark.parametrize(
    "instance",
    [
        {"inputs": "a", "truncation_direction": {"Left": None}},
        ["a", None, "Left", None, True, None],
    ],
)
def test_an_instance_in_another_form(instance: Any) -> None:
    found = tree.read(instance, EMBED)
    assert found == reader.read(b'{"inputs":"a","truncation_direction":"Left"}', EMBED)
