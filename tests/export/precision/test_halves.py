"""Values that float16 cannot hold stay in float32."""

import logging
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from app.model.batch import TokenizedInput, collate
from app.model.parts import Graph
from app.proof.probes import Probes
from export.precision import float16, halves, trial
from export.precision.trial import CpuSession
from tests.support.halved import RIGHT


@pytest.mark.slow
def test_weights_are_halved_and_norms_and_heads_are_not(halved: Path) -> None:
    model = onnx.load(halved / float16.FILE)
    graph = model.graph
    kinds = {one.name: one.data_type for one in graph.initializer}
    for node in graph.node:
        found = {kinds[name] for name in node.input if name in kinds}
        if node.op_type == "MatMul" and not node.name.startswith("node/head/"):
            assert found == {TensorProto.FLOAT16}
        if node.op_type == "LayerNormalization":
            assert found == {TensorProto.FLOAT}
    assert {one.type.tensor_type.elem_type for one in graph.output} == {TensorProto.FLOAT}
    assert {one.type.tensor_type.elem_type for one in graph.input} == {TensorProto.INT64}
    operators = [node.op_type for node in graph.node]
    assert operators.count("MultiHeadAttention") == 2
    assert "Softmax" not in operators
    exact = (halved / "model.onnx.data").stat().st_size
    assert (halved / f"{float16.FILE}.data").stat().st_size < 0.6 * exact


def test_values_that_float16_cannot_hold_stay_in_float32(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    table = np.array([[1, -2], [3, 1]], np.float32)
    weights = np.array([[2e4, 0], [0, 1e4]], np.float32)
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["rows"]),
        helper.make_node("MatMul", ["rows", "large"], ["wide"]),
        helper.make_node("MatMul", ["wide", "small"], ["token_embeddings"]),
    ]
    graph = helper.make_graph(
        nodes,
        "product",
        [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ("b", "s"))],
        [helper.make_tensor_value_info("token_embeddings", TensorProto.FLOAT, ("b", "s", 2))],
        [
            numpy_helper.from_array(table, "table"),
            numpy_helper.from_array(weights, "large"),
            numpy_helper.from_array(np.linalg.inv(weights), "small"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    onnx.save(model, tmp_path / "model.onnx")
    exact = Graph("model.onnx", "float32", ("cpu",), ("input_ids",), ("token_embeddings",))
    ids = TokenizedInput(np.array([0, 1], np.int64))
    probes = Probes(("x",), (ids,), np.zeros((1, 2), np.float32))
    [made] = float16.make(trial.Model(tmp_path, exact, RIGHT, "embedding", probes))
    assert "float16: 1 of 2 tensors stay in float32" in caplog.messages
    stored = onnx.load(tmp_path / made.file).graph.initializer
    assert {one.name for one in stored if one.data_type == TensorProto.FLOAT} == {"large"}
    [[found]] = (
        CpuSession(tmp_path / made.file, made.inputs)
        .run(collate([ids], RIGHT), made.outputs)
        .values()
    )
    np.testing.assert_allclose(found, table, rtol=2e-3)


def test_a_weight_that_float16_cannot_hold_keeps_its_product() -> None:
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "one",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ("b", 2))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ("b", 2))],
        [numpy_helper.from_array(np.array([[1e5, 0], [0, 1]], np.float32), "w")],
    )
    types = halves.Types.infer(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    )
    assert halves.decide(graph, types) == frozenset()
