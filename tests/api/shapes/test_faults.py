"""Faults as a client sees them: path, words and place."""

import pytest

from app.api.shapes.faults import Fault, Step, refusal
from app.errors import MalformedBody, MistypedBody

BEGINNING = "Failed to deserialize the JSON body into the target type: "


def test_a_path_is_written_from_the_outside_in() -> None:
    with pytest.raises(Fault) as caught, Step("inputs"), Step(2), Step("text"):
        raise Fault("is wrong", at=5)
    told = str(refusal(caught.value, b"0123456789"))
    assert told == f"{BEGINNING}inputs[2].text: is wrong at line 1 column 5"


@pytest.mark.parametrize(
    ("steps", "path"),
    [([], ""), ([None], ""), ([None, "a"], "a.?: "), ([0], "[0]: "), (["b", 1, "a"], "a[1].b: ")],
)
def test_a_path_that_leads_nowhere_is_left_out(steps: list[str | int | None], path: str) -> None:
    fault = Fault("is wrong", at=0)
    fault.path.extend(steps)
    assert str(refusal(fault, b"")) == f"{BEGINNING}{path}is wrong at line 1 column 0"


def test_lines_are_counted_to_the_place() -> None:
    assert str(refusal(Fault("is wrong", at=6), b"{\n\n  a b")).endswith("at line 3 column 3")


def test_bad_syntax_is_malformed_and_a_wrong_value_is_mistyped() -> None:
    assert type(refusal(Fault("", at=0, syntax=True), b"")) is MalformedBody
    assert type(refusal(Fault("", at=0), b"")) is MistypedBody
