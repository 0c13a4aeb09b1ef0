"""Graphs with branches, read and changed: references inside branches count as well."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from app.model.names import SENTENCE_EMBEDDING, TOKEN_EMBEDDINGS
from export.from_onnx.graph import bare, open_graph
from export.graph import assemble
from export.graph.assemble import ENCODER_OUTPUT
from export.graph.reader import import_standard, opset, rebuild, rename

AXES = ("batch", "sequence")


def tensor(
    name: str, kind: int = TensorProto.FLOAT, axes: tuple[str, ...] = ()
) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, axes)


def branching(inner: str, output: str) -> onnx.GraphProto:
    """(B, S) ids to (B, S, 1) floats: half of each, behind a condition that is always true.

    Both branches read `inner`, a tensor from outside of them, and one of them a constant.
    """
    half = numpy_helper.from_array(np.array(0.5, np.float32), "half")
    halving = helper.make_graph(
        [helper.make_node("Mul", [inner, "half"], ["halved"])], "then", [], [tensor("halved")]
    )
    passing = helper.make_graph(
        [helper.make_node("Identity", [inner], ["same"])], "else", [], [tensor("same")]
    )
    always = numpy_helper.from_array(np.array(True), "always")
    nodes = [
        helper.make_node("Cast", ["input_ids"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["floats", "last"], [inner]),
        helper.make_node("If", ["always"], [output], then_branch=halving, else_branch=passing),
    ]
    last = numpy_helper.from_array(np.array([2], np.int64), "last")
    inputs = [tensor(name, TensorProto.INT64, AXES) for name in ("input_ids", "attention_mask")]
    outputs = [helper.make_tensor_value_info(output, TensorProto.FLOAT, (*AXES, 1))]
    return helper.make_graph(nodes, "branching", inputs, outputs, [half, always, last])


def mentioned(graph: onnx.GraphProto) -> set[str]:
    branches = [one.g for node in graph.node for one in node.attribute if one.g.output]
    every = {name for node in graph.node for name in (*node.input, *node.output)}
    every |= {item.name for item in graph.output}
    return every.union(*map(mentioned, branches))


def test_a_tensor_is_renamed_in_branches_too() -> None:
    graph = branching("inner", "outer")
    rename(graph.node, {"inner": "other", "halved": "less"})
    assert mentioned(graph).isdisjoint({"inner", "halved"})
    assert mentioned(graph) >= {"other", "less", "same"}
    [then] = [one.g for one in graph.node[-1].attribute if one.name == "then_branch"]
    assert [*then.node[0].input, *then.node[0].output] == ["other", "half", "less"]
    assert then.output[0].name == "less"


def test_names_declared_in_a_branch_are_kept() -> None:
    graph = branching("inner", "outer")
    [branch] = [one.g for one in graph.node[-1].attribute if one.name == "then_branch"]
    branch.initializer.append(numpy_helper.from_array(np.array(2, np.float32), "inner"))
    rename(graph.node, {"inner": "other", "half": "third"})
    assert [*branch.node[0].input] == ["inner", "third"]


def test_nodes_that_a_branch_needs_are_kept() -> None:
    graph = branching("inner", "outer")
    unused, added = (numpy_helper.from_array(np.zeros(1, np.float32), one) for one in "ab")
    graph.initializer.append(unused)
    rebuild(graph, list(graph.node), [added])
    assert [item.name for item in graph.initializer] == ["half", "always", "last", "b"]


@pytest.mark.parametrize("domain", ["", "ai.onnx"])
def test_the_standard_has_two_names(domain: str) -> None:
    versions = [helper.make_opsetid("com.microsoft", 1), helper.make_opsetid(domain, 17)]
    model = helper.make_model(branching("inner", "outer"), opset_imports=versions)
    import_standard(model, 13)
    assert len(model.opset_import) == 2
    assert opset(model) == 17


def test_a_model_without_standard_operators_gets_them() -> None:
    own = [helper.make_opsetid("com.microsoft", 1)]
    model = helper.make_model(branching("inner", "outer"), opset_imports=own)
    import_standard(model, 13)
    assert opset(model) == 13


def test_a_found_graph_may_branch_and_spell_out_the_standard(tmp_path: Path) -> None:
    """It uses one of our own names inside, and reads it in its branches."""
    versions = [helper.make_opsetid("ai.onnx", 17)]
    graph = branching(SENTENCE_EMBEDDING, ENCODER_OUTPUT)
    path = tmp_path / "model.onnx"
    onnx.save(helper.make_model(graph, opset_imports=versions, ir_version=8), path)
    found = open_graph(path, tmp_path, "embedding")
    bare(found, 1, tmp_path / "bare.onnx")
    (tmp_path / "out").mkdir()
    assemble.extend(
        tmp_path / "bare.onnx",
        tmp_path / "out",
        ENCODER_OUTPUT,
        lambda *_: {TOKEN_EMBEDDINGS: (*AXES, 1)},
    )
    session = onnxruntime.InferenceSession(tmp_path / "out" / "model.onnx")
    ids = np.array([[3, 4]])
    feed = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
    [values] = session.run([TOKEN_EMBEDDINGS], feed)
    assert values.tolist() == [[[1.5], [2.0]]]
