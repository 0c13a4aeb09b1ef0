"""Graphs of a few nodes around products with constant weights, to be rewritten and compared."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

Node = tuple[str, str, str]  # operator, inputs, outputs, separated by spaces
WIDTH, MIDDLE = 32, 48


def weights(seed: int, *shape: int) -> NDArray[Any]:
    """Constants, drawn so that a product keeps the size of its input."""
    drawn = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    drawn /= np.sqrt(np.float32(shape[0]))
    return drawn


_NUMBERS = {
    "half": 0.5,
    "one": 1.0,
    "three": 3.0,
    "root": np.sqrt(2),
    "cubic": 0.044715,
    "scale": np.sqrt(2 / np.pi),
}
CONSTANTS: Mapping[str, NDArray[Any]] = {
    **{name: np.array(value, np.float32) for name, value in _NUMBERS.items()},
    **{f"w{i}": weights(i, WIDTH, WIDTH) for i in range(4)},
    **{f"b{i}": weights(9 + i, WIDTH) for i in range(4)},
    "up": weights(20, WIDTH, MIDDLE),
    "up_bias": weights(21, MIDDLE),
    "gate": weights(22, WIDTH, MIDDLE),
    "gate_bias": weights(23, MIDDLE),
    "both": weights(24, WIDTH, 2 * MIDDLE),
    "down": weights(25, MIDDLE, WIDTH),
    "down_bias": weights(26, WIDTH),
    "narrow": weights(27, WIDTH, 3),
    "head/1/linear.weight": weights(28, WIDTH, WIDTH),
    "last": np.array([-1]),
    "place": np.array(-1),
    "zero": np.array([0]),
    "unit": np.array([1]),
    "two": np.array([2]),
    "halves": np.array([MIDDLE, MIDDLE]),
    "uneven": np.array([MIDDLE - 1, MIDDLE + 1]),
    "far": np.array([1 << 40]),
}

GELU: Sequence[Node] = (
    ("Div", "h root", "g1"),
    ("Erf", "g1", "g2"),
    ("Add", "g2 one", "g3"),
    ("Mul", "h g3", "g4"),
    ("Mul", "g4 half", "a"),
)
GELU_HALVED_FIRST: Sequence[Node] = (
    ("Mul", "h half", "g0"),
    ("Div", "h root", "g1"),
    ("Erf", "g1", "g2"),
    ("Add", "one g2", "g3"),
    ("Mul", "g0 g3", "a"),
)
GELU_TANH: Sequence[Node] = (
    ("Mul", "half h", "g0"),
    ("Pow", "h three", "g1"),
    ("Mul", "g1 cubic", "g2"),
    ("Add", "h g2", "g3"),
    ("Mul", "g3 scale", "g4"),
    ("Tanh", "g4", "g5"),
    ("Add", "g5 one", "g6"),
    ("Mul", "g0 g6", "a"),
)
SILU: Sequence[Node] = (("Sigmoid", "h", "g1"), ("Mul", "h g1", "a"))
RELU: Sequence[Node] = (("Relu", "h", "a"),)


def model(
    nodes: Sequence[Node],
    outputs: Sequence[str] = ("y",),
    attributes: Mapping[str, Mapping[str, Any]] | None = None,
    inputs: Sequence[str] = ("x",),
) -> onnx.ModelProto:
    """A model of these nodes over `CONSTANTS`; attributes by a node's outputs."""
    made = [
        helper.make_node(
            operator, read.split(), written.split(), **(attributes or {}).get(written, {})
        )
        for operator, read, written in nodes
    ]
    used = {name for node in made for name in node.input}
    graph = helper.make_graph(
        made,
        "layers",
        [
            helper.make_tensor_value_info(one, TensorProto.FLOAT, ("b", "s", WIDTH))
            for one in inputs
        ],
        [helper.make_tensor_value_info(one, TensorProto.FLOAT, None) for one in outputs],
        [numpy_helper.from_array(value, name) for name, value in CONSTANTS.items() if name in used],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def linear(x: str, weight: str, bias: str, output: str) -> list[Node]:
    """A product with a bias, which may be empty."""
    if not bias:
        return [("MatMul", f"{x} {weight}", output)]
    return [("MatMul", f"{x} {weight}", f"{output}/m"), ("Add", f"{bias} {output}/m", output)]
