"""Halves of the last axis: cut by one Split, or by two slices whose ends are computed."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from export.graph.reader import Reader, users_of
from export.rewriting import column_halves
from tests.support.layer_graphs import MIDDLE, Node, model

LAST: Mapping[str, Mapping[str, Any]] = {"l r": {"axis": -1, "num_outputs": 2}}
SPLIT: Sequence[Node] = (("Split", "h", "l r"),)
COMPUTED: Sequence[Node] = (
    ("Shape", "h", "shape"),
    ("Gather", "shape place", "width"),
    ("Add", "width unit", "more"),
    ("Div", "more two", "middle"),
    ("Mul", "middle unit", "start"),
    ("Mul", "middle two", "end"),
    ("Slice", "h zero start last", "l"),
    ("Slice", "h start end last", "r"),
)


def found_in(
    nodes: Sequence[Node], attributes: Mapping[str, Mapping[str, Any]] = LAST
) -> column_halves.Halves | None:
    graph = model([("MatMul", "x both", "h"), *nodes], ("l", "r"), attributes).graph
    return column_halves.find(Reader(graph), users_of(graph), "h", 2 * MIDDLE)


SWAPPED = [*COMPUTED[:6], COMPUTED[7], COMPUTED[6]]
OPEN = [*COMPUTED[:6], COMPUTED[6], ("Slice", "h start far last", "r")]


@pytest.mark.parametrize("nodes", [SPLIT, COMPUTED, SWAPPED, OPEN])
def test_both_spellings_are_found(nodes: Sequence[Node]) -> None:
    found = found_in(nodes)
    assert found is not None
    assert (found.first, found.second) == ("l", "r")


def test_a_split_of_stated_sizes_has_to_be_even() -> None:
    axis = {"l r": {"axis": -1}, "sizes": {"axis": 0}}
    assert found_in([("Split", "h halves", "l r")], axis) is not None
    assert found_in([("Split", "h uneven", "l r")], axis) is None
    assert found_in([("Concat", "unit two", "sizes"), ("Split", "h sizes", "l r")], axis) is None


@pytest.mark.parametrize(
    "nodes",
    [
        [*SPLIT, ("Identity", "h", "whole")],
        [*COMPUTED, ("Identity", "h", "whole")],
        [*COMPUTED, ("Identity", "shape", "kept")],
        COMPUTED[:7],
        [*COMPUTED[:7], ("Slice", "h zero end last", "r")],
        [*COMPUTED[:7], ("Slice", "h start end zero", "r")],
        [*COMPUTED[:7], ("Slice", "h start width last", "r"), ("Relu", "width", "kept")],
        [("Split", "h", "l m r")],
    ],
)
def test_other_cuts_are_left_alone(nodes: Sequence[Node]) -> None:
    assert found_in(nodes) is None


def test_another_axis_is_left_alone() -> None:
    assert found_in(SPLIT, {"l r": {"axis": 1, "num_outputs": 2}}) is None
