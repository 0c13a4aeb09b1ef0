"""Nodes and constants that are added to a graph under names of their own."""

import numpy as np
import pytest
from onnx import numpy_helper

from export.graph.builder import Builder


def test_outputs_are_named_after_their_operators_unless_they_have_a_name() -> None:
    builder = Builder(prefix="head")
    assert builder.node("Relu", "x") == "head/Relu_0"
    assert builder.node("Add", "head/Relu_0", "y") == "head/Add_1"
    assert builder.node("Tanh", "head/Add_1", output="z") == "z"
    assert [(one.op_type, list(one.input)) for one in builder.nodes] == [
        ("Relu", ["x"]), ("Add", ["head/Relu_0", "y"]), ("Tanh", ["head/Add_1"]),
    ]  # fmt: skip


def test_a_constant_is_there_once() -> None:
    builder = Builder()
    assert builder.integers(1, 2) == builder.integers(1, 2) != builder.integers(1)
    assert builder.number(0.5) == builder.number(0.5)
    found = {name: numpy_helper.to_array(one).tolist() for name, one in builder.constants.items()}
    assert found == {"head/int64_1_2": [1, 2], "head/int64_1": [1], "head/float32_0.5": 0.5}


def test_weights_keep_their_own_name_and_order() -> None:
    builder = Builder()
    transposed = np.arange(6, dtype=np.float32).reshape(2, 3).T
    assert builder.tensor("0/weight", transposed) == "head/0/weight"
    np.testing.assert_array_equal(
        numpy_helper.to_array(builder.constants["head/0/weight"]), transposed
    )


@pytest.mark.parametrize(("opset", "inputs", "attributes"), [(17, 1, 2), (18, 2, 1)])
def test_the_axis_of_a_reduction_is_an_input_from_operator_set_18_on(
    opset: int, inputs: int, attributes: int
) -> None:
    builder = Builder(opset)
    builder.reduced("ReduceMax", "x", -1, keepdims=0)
    [node] = builder.nodes
    assert (len(node.input), len(node.attribute)) == (inputs, attributes)
