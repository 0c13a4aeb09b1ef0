"""Containers, scalars and variants: where their faults are placed, and which variants are valid."""

import pytest

from app.api.body.walker import Walker
from app.api.shapes.faults import Fault
from app.api.shapes.fields import Variant, boolean

SIDE = Variant("`Left` or `Right`", {"Left": "left", "Right": "right"}, "Side")


def test_a_fault_without_a_place_stands_behind_what_holds_it() -> None:
    walker = Walker(b"[ ] 1")

    def refused() -> None:
        raise Fault("wrong")

    with pytest.raises(Fault) as caught:
        walker.in_list(refused)
    assert caught.value.at == 3


def test_a_scalar_is_refused_at_its_end_and_a_container_at_its_start() -> None:
    with pytest.raises(Fault, match="integer `12`, expected a boolean") as caught:
        Walker(b"12]").scalar(boolean)
    assert caught.value.at == 2
    with pytest.raises(Fault, match="sequence, expected a boolean") as caught:
        Walker(b"[12]").scalar(boolean)
    assert caught.value.at == 0


@pytest.mark.parametrize("content", [b'"Left"', b'{"Left":null}', b'{ "Left" : null }'])
def test_a_variant_is_its_name_or_an_object_with_it(content: bytes) -> None:
    walker = Walker(content)
    assert walker.variant(SIDE) == "left"
    assert walker.scanner.at == len(content)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'"Up"', "unknown variant `Up`, expected `Left` or `Right`"),
        (b"1", "expected value"),
        (b"", "EOF while parsing a value"),
        (b"{1:null}", "invalid type: integer `1`, expected variant identifier"),
        (b'{"Left":1}', "invalid type: integer `1`, expected unit"),
        (b'{"Left":null,"Right":null}', "expected value"),
    ],
)
def test_invalid_variants_are_refused(content: bytes, message: str) -> None:
    with pytest.raises(Fault) as caught:
        Walker(content).variant(SIDE)
    assert caught.value.message == message
