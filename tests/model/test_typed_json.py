"""Parsed JSON becomes the declared types, or a fault with its path."""

from dataclasses import dataclass
from typing import Any, Literal

import pytest

from app.model.typed_json import Misfit, build


@dataclass(frozen=True)
class Inner:
    """One value, and one that may be left out."""

    size: float
    name: str | None = None


@dataclass(frozen=True)
class Outer:
    """A value of every kind."""

    side: Literal["left", "right"]
    inners: tuple[Inner, ...]
    words: dict[str, int]


WHOLE = {"side": "left", "inners": [{"size": 1}, {"size": 0.5, "name": "a"}], "words": {"b": 2}}


def test_a_document_becomes_what_is_declared() -> None:
    found = build(Outer, {**WHOLE, "unknown": 1}, "")
    assert found == Outer("left", (Inner(1.0), Inner(0.5, "a")), {"b": 2})
    assert type(found.inners[0].size) is float


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"side": "up"}, "side: 'up' is not one of 'left', 'right'"),
        ({"inners": {}}, "inners: {} is not of type tuple"),
        ({"inners": [1]}, "inners[0]: 1 is not an object"),
        ({"inners": [{}]}, "inners[0].size is missing"),
        ({"inners": [{"size": "1"}]}, "inners[0].size: '1' is not of type float"),
        ({"inners": [{"size": 1, "name": 2}]}, "inners[0].name: 2 is not of type str"),
        ({"words": {"b": True}}, "words.b: True is not of type int"),
    ],
)
def test_a_fault_has_its_path(change: dict[str, Any], message: str) -> None:
    with pytest.raises(Misfit) as caught:
        build(Outer, WHOLE | change, "")
    assert str(caught.value) == message
