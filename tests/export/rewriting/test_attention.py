"""The CPU provider's own graph: equal answers, without a long text's scores in memory."""

from pathlib import Path

import numpy as np
import onnx

from app.model.batch import TokenizedInput, collate
from app.model.manifest import Manifest
from app.model.parts import Padding
from export.precision import cpu
from export.precision.trial import CpuSession
from export.rewriting import attention

LENGTHS = ([5], [1], [32], [7, 7], [32, 32, 32], [3, 9, 1, 32], [1, 1, 2])


def test_each_attention_has_a_way_without_a_mask(exported: Path) -> None:
    model = onnx.load(exported / cpu.FILE)
    choices = [node for node in model.graph.node if node.op_type == "If"]
    assert len(choices) == 2
    for choice in choices:
        branches = {one.name: list(one.g.node) for one in choice.attribute}
        [without], [with_mask] = branches["then_branch"], branches["else_branch"]
        assert without.op_type == with_mask.op_type == attention.OPERATOR
        assert list(with_mask.input) == [*without.input, "", attention.LENGTHS]
    assert "Softmax" not in [node.op_type for node in model.graph.node]


def test_answers_are_those_of_the_exact_graph_padded_or_not(exported: Path) -> None:
    exact, fused = (
        CpuSession(exported / one.file, one.inputs) for one in Manifest.read(exported).graphs[:2]
    )
    chance = np.random.default_rng(7)
    for lengths in LENGTHS:
        inputs = [TokenizedInput(chance.integers(5, 90, length)) for length in lengths]
        batch = collate(inputs, Padding(0, 0, "right"))
        names = ("sentence_embedding", "pooled_cls")
        expected, found = exact.run(batch, names), fused.run(batch, names)
        for name in names:
            np.testing.assert_allclose(found[name], expected[name], atol=1e-5)
