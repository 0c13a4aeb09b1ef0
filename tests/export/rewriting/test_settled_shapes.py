"""Values computed from shapes alone: which become constant, and which stay."""

from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import pytest

from export.graph.reader import Reader
from export.precision import trial
from export.rewriting import settled_shapes
from export.rewriting.settled_shapes import LENGTH

GRAPH = """
<ir_version: 10, opset_import: ["": 18]>
settled (int64[b, s] input_ids, int64[b, s] attention_mask) => (y)
<int64 zero = {{0}}, int64 one = {{1}}, int64[1] first = {{0}}, int64[1] second = {{1}},
 int64[1] minus = {{-1}}, int64[1] two = {{2}}, int64[1] three = {{3}},
 float half = {{0.5}}, float[1, 1, 6] wide = {{1, 2, 3, 4, 5, 6}}>
{{
    ids = Cast<to=1>(input_ids)
    tokens = Unsqueeze(ids, minus)
    x = Mul(tokens, wide)
    shape = Shape(x)
    rows = Gather(shape, first)
    length = Gather(shape, second)
    count = Gather(shape, one)
    width = Gather(shape, two)
    part = Div(width, two)
    {nodes}
}}
"""


def settled(nodes: str, folder: Path) -> onnx.ModelProto:
    """Return the graph of the nodes after settling; its answers are unchanged."""
    source = onnx.parser.parse_model(GRAPH.format(nodes=nodes))
    found = onnx.ModelProto()
    found.CopyFrom(source)
    run = partial(trial.outputs, folder)
    settled_shapes.settle(found, run)
    chance = np.random.default_rng(3)
    shapes = ((1, 1), (4, 6), (2, 12))
    feeds = [{name: chance.integers(0, 2, shape) for name in inputs(found)} for shape in shapes]
    for one, other in zip(run(source, feeds), run(found, feeds), strict=True):
        np.testing.assert_array_equal(one["y"], other["y"])
    assert not list(folder.iterdir())
    return found


def inputs(model: onnx.ModelProto) -> list[str]:
    return [item.name for item in model.graph.input]


def given(model: onnx.ModelProto, operator: str) -> list[int] | None:
    """Return the constant shape that the one node of this kind is given."""
    [node] = [node for node in model.graph.node if node.op_type == operator]
    value = Reader(model.graph).small(node.input[1])
    return None if value is None else value.tolist()


@pytest.mark.parametrize(
    ("shape", "target"),
    [
        ("rows, length, two, part", [0, 0, 2, 3]),
        ("rows, minus, three", [0, -1, 3]),
        ("minus, width", [-1, 6]),
        ("rows, two, minus, part", [0, 2, -1, 3]),
    ],
)
def test_a_shape_to_reshape_to_is_constant(tmp_path: Path, shape: str, target: list[int]) -> None:
    nodes = f"target = Concat<axis=0>({shape}) y = Reshape<allowzero=1>(x, target)"
    found = settled(nodes, tmp_path)
    assert given(found, "Reshape") == target
    assert "Shape" not in Counter(node.op_type for node in found.graph.node)


def test_two_axes_that_change_are_left_to_be_computed(tmp_path: Path) -> None:
    nodes = "target = Concat<axis=0>(length, rows, width) y = Reshape(x, target)"
    assert given(settled(nodes, tmp_path), "Reshape") is None


def test_heads_are_repeated_whatever_the_batch(tmp_path: Path) -> None:
    nodes = """
        apart = Unsqueeze(x, first)
        target = Concat<axis=0>(two, rows, length, width)
        y = Expand(apart, target)
    """
    assert given(settled(nodes, tmp_path), "Expand") == [2, 1, 1, 1]
    nodes = "target = Concat<axis=0>(three, rows, length, width) y = Expand(x, target)"
    assert given(settled(nodes, tmp_path), "Expand") == [3, 1, 1, 1]


def test_rows_that_are_added_are_left_to_be_computed(tmp_path: Path) -> None:
    nodes = "target = Concat<axis=0>(rows, length, width) y = Expand(wide, target)"
    assert given(settled(f"{nodes} z = Add(y, x)", tmp_path), "Expand") is None


@pytest.mark.parametrize(
    "nodes",
    [
        "same = Slice(x, first, length, second)",
        "same = Slice(x, first, length, second, second)",
        "target = Concat<axis=0>(rows, length, width) same = Expand(x, target)",
        "target = Concat<axis=0>(rows, length, width) same = Reshape(x, target)",
        "half_of_all = Slice(x, first, length, second) same = Expand(half_of_all, shape)",
    ],
)
def test_nodes_that_pass_everything_on_are_removed(tmp_path: Path, nodes: str) -> None:
    found = settled(f"{nodes} y = Mul(same, half)", tmp_path)
    assert [node.op_type for node in found.graph.node] == ["Cast", "Unsqueeze", "Mul", "Mul"]


def test_what_is_turned_round_stays(tmp_path: Path) -> None:
    nodes = "end = Neg(length) stop = Sub(end, second) y = Slice(x, minus, stop, second, minus)"
    assert "Slice" in [node.op_type for node in settled(nodes, tmp_path).graph.node]


def test_a_number_that_is_computed_of_a_width_is_constant(tmp_path: Path) -> None:
    nodes = "size = Cast<to=1>(width) root = Sqrt(size) y = Div(x, root)"
    found = settled(nodes, tmp_path)
    [last] = [node for node in found.graph.node if "y" in node.output]
    assert Reader(found.graph).number(last.input[1]) == pytest.approx(np.sqrt(6))


def test_the_tokens_of_a_row_are_counted_once(tmp_path: Path) -> None:
    nodes = """
        masked = Shape(attention_mask)
        others = Gather(masked, one)
        places = Range(zero, count, one)
        again = Range(zero, others, one)
        more = Add(places, again)
        y = Cast<to=1>(more)
    """
    found = settled(nodes, tmp_path)
    ranges = [node.input[1] for node in found.graph.node if node.op_type == "Range"]
    assert ranges == [LENGTH, LENGTH]
    assert [node.op_type for node in found.graph.node].count("Shape") == 1


def test_tensors_that_depend_on_values_are_not_constant(tmp_path: Path) -> None:
    """Even though ids and masks are the same in the batches that are run."""
    nodes = "most = ReduceMax<keepdims=0>(ids) y = Add(x, most)"
    found = settled(nodes, tmp_path)
    assert "ReduceMax" in [node.op_type for node in found.graph.node]
