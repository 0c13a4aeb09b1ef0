"""Activations are recognized by what they compute, in every spelling."""

from collections.abc import Sequence

import onnx
import pytest

from export.graph.reader import Reader, users_of
from export.rewriting import activations
from tests.support import layer_graphs
from tests.support.layer_graphs import (
    GELU,
    GELU_HALVED_FIRST,
    GELU_TANH,
    RELU,
    SILU,
    Node,
    model,
)


def found_in(
    nodes: Sequence[Node], made: onnx.ModelProto | None = None
) -> activations.Activated | None:
    graph = (made or model([("MatMul", "x w0", "h"), *nodes], ("a",))).graph
    return activations.find(Reader(graph), users_of(graph), "h")


@pytest.mark.parametrize(
    ("nodes", "activation"),
    [(GELU, "gelu"), (GELU_HALVED_FIRST, "gelu"), (GELU_TANH, "gelu_tanh"), (SILU, "silu")],
)
def test_every_spelling_is_known(nodes: Sequence[Node], activation: str) -> None:
    found = found_in(nodes)
    assert found is not None
    assert (found.activation, found.output) == (activation, "a")
    assert [node.output[0] for node in found.nodes] == [outputs for _, _, outputs in nodes]


@pytest.mark.parametrize(("approximate", "activation"), [("none", "gelu"), ("tanh", "gelu_tanh")])
def test_the_operator_of_the_standard_is_known(approximate: str, activation: str) -> None:
    nodes: list[Node] = [("MatMul", "x w0", "h"), ("Gelu", "h", "a")]
    found = found_in([], model(nodes, ("a",), {"a": {"approximate": approximate}}))
    assert found is not None
    assert found.activation == activation


@pytest.mark.parametrize(
    "nodes",
    [
        RELU,
        [("Tanh", "h", "a")],
        [("Sigmoid", "h", "g1"), ("Mul", "x g1", "a")],  # of two inputs
        [*SILU[:1], ("Mul", "h half", "g2"), ("Mul", "g1 g2", "a")],
        [("Mul", "h half", f"n{i}") for i in range(20)],
    ],
    ids=["relu", "tanh", "gated", "half of silu", "no end"],
)
def test_others_are_not_taken_for_one(nodes: Sequence[Node]) -> None:
    assert found_in([*nodes, ("Identity", "h", "end")]) is None


def test_a_tensor_between_that_is_read_elsewhere_has_to_stay() -> None:
    assert found_in([*GELU, ("Identity", "g2", "y")]) is None
    assert found_in([*layer_graphs.SILU, ("Identity", "h", "y")]) is None
