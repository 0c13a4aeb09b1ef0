"""Masks: which keys a token sees, and that a mask of our own shows the same."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from export.graph.builder import Builder
from export.graph.reader import lift_constants
from export.precision import trial
from export.rewriting import masks
from export.rewriting.masks import Sight

GRAPH = """
<ir_version: 10, opset_import: ["": 18]>
masks (int64[b, s] input_ids, int64[b, s] attention_mask) => (m)
<int64 zero = {0}, int64 one = {1}, int64[1] first = {0}, int64[1] second = {1},
 int64[2] heads = {1, 2}, int64[1] minus = {-1}, int64 near = {3}, int64 here = {0},
 int64 far = {24}, int64 block = {8}, int64 endless = {5000}, float nothing = {0.0},
 float little = {-1.0}, float least = {-3.4e38}, float never = {-inf}>
{
    shape = Shape(input_ids)
    length = Gather(shape, one)
    keys = Range(zero, length, one)
    queries = Unsqueeze(keys, second)
    distance = Sub(keys, queries)
    away = Abs(distance)
    seen = Cast<to=9>(attention_mask)
    real = Unsqueeze(seen, heads)
    padding = Where(real, nothing, least)
    NODES
}
"""
CAUSAL = "past = LessOrEqual(distance, here) both = And(past, real) m = Where(both, nothing, never)"
LOCAL = "close = LessOrEqual(away, near) far_off = Not(close) m = Where(far_off, least, padding)"
WINDOW = """
    past = LessOrEqual(distance, here)
    depth = Neg(far)
    recent = Greater(distance, depth)
    window = And(past, recent)
    both = And(window, real)
    m = Where(both, nothing, least)
"""


def made(nodes: str) -> onnx.ModelProto:
    model = onnx.parser.parse_model(GRAPH.replace("NODES", nodes))
    lift_constants(model.graph)
    return model


def rows(length: int) -> NDArray[np.int64]:
    """Rows that are full, padded on the right, and padded on the left."""
    places = np.arange(length)
    return np.array([places >= 0, places < length // 3 + 1, places >= length // 2], np.int64)


@pytest.mark.parametrize(
    ("nodes", "sight", "sees"),
    [
        ("m = Identity(padding)", Sight(), lambda away: away == away),
        (CAUSAL, Sight(behind=0), lambda away: away <= 0),
        (LOCAL, Sight(3, 3), lambda away: abs(away) <= 3),
        (WINDOW, Sight(23, 0), lambda away: (away <= 0) & (away > -24)),
    ],
    ids=["padding", "causal", "local", "window"],
)
def test_one_of_our_own_shows_the_same(
    tmp_path: Path,
    nodes: str,
    sight: Sight,
    sees: Callable[[NDArray[np.int64]], NDArray[np.bool_]],
) -> None:
    model, run = made(nodes), partial(trial.outputs, tmp_path)
    found = masks.find(model, ["m"], run)
    assert found == {"m": sight}
    builder = Builder()
    output = masks.add(builder, "length", found)["m"]
    graph = model.graph
    graph.node.extend(builder.nodes)
    graph.initializer.extend(builder.constants.values())
    graph.output.append(onnx.ValueInfoProto(name=output))
    for length in (1, 7, 60):
        real = rows(length)
        [values] = run(model, [{"input_ids": real, "attention_mask": real}])
        places = np.arange(length)
        shown = (real[:, None, :] == 1) & sees(places - places[:, None])
        np.testing.assert_array_equal(
            np.broadcast_to(values[output][:, 0] == 0, shown.shape), shown
        )
        # The result of padding tokens is never read.
        np.testing.assert_array_equal(
            np.broadcast_to(values["m"][:, 0] == 0, shown.shape)[real == 1], shown[real == 1]
        )
        assert np.all((values[output] == 0) | (values[output] <= -1e9))
        assert np.isfinite(values[output]).all()


def test_masks_that_show_the_same_become_one() -> None:
    builder = Builder()
    every = {"a": Sight(), "b": Sight(3, 3), "c": Sight(), "d": Sight(3, 3)}
    found = masks.add(builder, "length", every)
    assert found["a"] == found["c"] != found["b"] == found["d"]
    assert [node.op_type for node in builder.nodes].count("Range") == 1


@pytest.mark.parametrize(
    "nodes",
    [
        # by blocks of tokens, which is not a distance
        """
        blocks = Div(keys, block)
        of_query = Unsqueeze(blocks, second)
        same = Equal(blocks, of_query)
        both = And(same, real)
        m = Where(both, nothing, least)
        """,
        "m = Where(real, nothing, little)",  # hides nothing
        "ids = Cast<to=1>(input_ids) of_ids = Unsqueeze(ids, heads) m = Add(of_ids, padding)",
        "m = Cast<to=1>(real)",  # multiplied, not added
        "m = Unsqueeze(padding, minus)",
        "m = Cast<to=7>(padding)",
        # wider than what is computed: looks like a mask of everything
        "close = LessOrEqual(away, endless) both = And(close, real) m = Where(both, nothing, least)",
    ],
    ids=["blocks", "little", "inputs", "factor", "axes", "integers", "endless"],
)
def test_other_masks_are_left_alone(tmp_path: Path, nodes: str) -> None:
    assert not masks.find(made(nodes), ["m"], partial(trial.outputs, tmp_path))
