"""Linear layers: which nodes form one, and which only look like one."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from export.rewriting.linear_layers import Layers, Linear, of_one_input
from tests.support.layer_graphs import GELU, GELU_TANH, SILU, Node, linear, model

HALVES: Mapping[str, Mapping[str, Any]] = {"h t": {"axis": -1, "num_outputs": 2}}
UP = linear("x", "up", "up_bias", "h")


def layers(
    nodes: Sequence[Node],
    outputs: Sequence[str] = ("y",),
    attributes: Mapping[str, Mapping[str, Any]] | None = None,
) -> Layers:
    return Layers(model(nodes, outputs, attributes).graph)


def test_a_product_is_found_with_its_bias() -> None:
    [plain] = layers([("MatMul", "x w0", "y")]).linears.values()
    assert (plain.input, plain.weights, plain.bias, plain.output) == ("x", "w0", "", "y")
    [biased] = layers(linear("x", "w0", "b0", "y")).linears.values()
    assert (biased.bias, biased.output) == ("b0", "y")


def test_a_product_is_found_with_what_is_made_of_it_and_goes_without() -> None:
    [activated] = layers([*UP, *GELU], ("a",)).linears.values()
    assert (activated.activation, activated.output) == ("gelu", "a")
    plain = activated.product()
    assert (plain.activation, plain.output, len(plain.nodes)) == (None, "h", 2)


def test_a_tensor_that_is_read_elsewhere_stays_an_output() -> None:
    nodes: list[Node] = [*linear("x", "w0", "b0", "h"), ("Add", "x h", "y"), ("Relu", "h", "z")]
    [one] = layers(nodes, ("y", "z")).linears.values()
    assert one.output == "h"
    [one] = layers([*UP, *GELU], ("a", "h")).linears.values()
    assert (one.output, one.activation) == ("h", None)


def test_zeros_are_made_once_for_a_width() -> None:
    graph = model([("MatMul", "x w0", "y"), ("MatMul", "x w1", "z")], ("y", "z")).graph
    found = Layers(graph)
    before = len(graph.initializer)
    assert len({found.zeros(one) for one in found.linears.values()}) == 1
    assert len(graph.initializer) == before + 1


@pytest.mark.parametrize(
    "nodes",
    [
        [("MatMul", "w0 w1", "y")],
        [("MatMul", "x x", "y")],
        [("MatMul", "x narrow", "y")],
        [("MatMul", "x head/1/linear.weight", "y")],
        [("Gemm", "x w0", "y")],
    ],
    ids=["constants", "activations", "narrow", "head", "gemm"],
)
def test_other_products_are_left_alone(nodes: Sequence[Node]) -> None:
    assert not layers(nodes).linears


PRODUCT: Sequence[Node] = (("Mul", "t a", "m"), ("MatMul", "m down", "y"))
GATED: Mapping[str, Sequence[Node]] = {
    "gelu": [*UP, *GELU, *linear("a", "down", "down_bias", "y")],
    "gate": [
        ("MatMul", "x up", "h"),
        *SILU,
        ("MatMul", "x gate", "t"),
        *PRODUCT,
    ],
    "halves": [
        ("MatMul", "x both", "w"),
        ("Split", "w", "h t"),
        *GELU_TANH,
        ("Mul", "a t", "m"),
        ("MatMul", "m down", "y"),
    ],
}


@pytest.mark.parametrize("form", GATED)
def test_feed_forward_layers_are_found_whole(form: str) -> None:
    nodes = GATED[form]
    [whole] = layers(nodes, attributes=HALVES).feed_forwards()
    assert (whole.gate is not None, whole.halved) == (form == "gate", form == "halves")
    assert whole.down.output == "y"
    assert {name for node in whole.nodes for name in node.output} == {
        name for _, _, outputs in nodes for name in outputs.split()
    }


@pytest.mark.parametrize(
    ("nodes", "outputs"),
    [
        (GATED["gelu"], ("y", "a")),
        (GATED["gate"], ("y", "m")),
        (GATED["gate"], ("y", "t")),
        (GATED["halves"], ("y", "t")),
        (GATED["halves"], ("y", "w")),
        ([*UP, ("Relu", "h", "a"), ("MatMul", "a down", "y")], ("y",)),
        ([*UP, *GELU, ("MatMul", "a down", "d"), ("Mul", "a a", "z")], ("d", "z")),
        (  # gates of another input
            [
                ("MatMul", "x up", "h"),
                *SILU,
                ("Relu", "x", "u"),
                ("MatMul", "u gate", "t"),
                *PRODUCT,
            ],
            ("y",),
        ),
        (  # one bias only
            [*UP, *SILU, ("MatMul", "x gate", "t"), *PRODUCT],
            ("y",),
        ),
        (  # neither is activated
            [("MatMul", "x up", "a"), ("MatMul", "x gate", "t"), *PRODUCT],
            ("y",),
        ),
    ],
)
def test_other_forms_are_no_feed_forward_layers(
    nodes: Sequence[Node], outputs: Sequence[str]
) -> None:
    assert not layers(nodes, outputs, HALVES).feed_forwards()


def one(name: str, source: str = "x", *, bias: str = "b") -> Linear:
    return Linear(source, "w", bias, None, name, ())


def test_products_of_one_input_go_together() -> None:
    every = [one("q"), one("k", bias=""), one("z", "other"), one("v"), one("u")]
    groups = [[product.output for product in group] for group in of_one_input(every, 3)]
    assert groups == [["q", "k", "v"], ["u"], ["z"]]
