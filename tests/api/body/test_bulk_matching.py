"""Runs of elements that are matched at once: how far they look, and that they change no result."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given, settings

from app.api.body import bulk_matching, streaming
from app.api.body.scanner import Scanner
from app.api.shapes.faults import Fault, refusal
from app.api.shapes.fields import Shape
from app.api.verbs.tei_embed import EMBED
from app.errors import MalformedBody, MistypedBody
from tests.fuzz.test_generated import bodies
from tools.fuzz import reading


def test_runs_look_no_further_than_their_window() -> None:
    text = b'"%b",' % (b"a" * bulk_matching.WINDOW)
    assert bulk_matching.elements(text * 2 + b"1", 0) == ([], 0)
    short = b'"a",' * 20_000
    found, end = bulk_matching.elements(short + b"1", 0)
    assert found == ["a"] * (end // 4)
    assert 0 < end <= bulk_matching.WINDOW


def test_a_run_with_a_fault_is_not_tried_again_for_each_of_its_elements() -> None:
    good, bad = b'"aaaaaaaaaaaaaaaaaaaa",' * 900, b'"\xff",0]}'
    reader = streaming.Reader(b'{"inputs":[' + good + bad)
    tried: list[int] = []
    elements = reader.scanner.elements

    def counted() -> list[Any]:
        before = reader.scanner.steps
        found = elements()
        tried.append(reader.scanner.steps - before)
        return found

    reader.scanner.elements = counted  # type: ignore[method-assign]
    with pytest.raises(Fault, match="invalid unicode code point"):
        reader.struct(EMBED)
    assert sum(tried) < 5


class OneByOne(Scanner):
    """A reader without runs."""

    def _may_run(self, levels: int) -> bool:
        del levels
        return False


class Plodding(streaming.Reader):
    """A reader of one token at a time."""

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self.scanner = OneByOne(content)


def plodded(content: bytes, shape: Shape) -> dict[str, Any]:
    try:
        return Plodding(content).struct(shape)
    except Fault as fault:
        raise refusal(fault, content) from None


def outcome(read: Callable[[], dict[str, Any]]) -> Any:
    try:
        return reading.typed(read())
    except (MalformedBody, MistypedBody) as refusal:
        return type(refusal), str(refusal)


@settings(max_examples=50)
@given(bodies())
@example(b'{"inputs":[-1,-5,0,12,-12345678901234567890,1e9]}')
@example(b'{"inputs":["a",-0,1e9,12345678901234567890,"\\u0069"]}')
@example(b'{"inputs":["a","b",]}')
@example(b'{"x":{"a":1,"b":2,},"inputs":"a"}')
@example(b'{"a":1,"inputs":["a","a","a"],"inputs":1}')
@example(b'{"instances":[{"a":[[]],"b":1e400,"c":1},1,2,[1,[2,[3,[4]]]],"x"]}')
def test_runs_change_nothing(content: bytes) -> None:
    for shape in reading.SHAPES:
        with_runs = outcome(lambda shape=shape: streaming.read(content, shape))  # type: ignore[misc]
        without = outcome(lambda shape=shape: plodded(content, shape))  # type: ignore[misc]
        assert with_runs == without
