"""Packing: the graph without padding computes the same, and what is no padding stays."""

import logging
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from app.errors import StartupError
from app.inference.providers.plan import ProviderRequest
from app.model.batch import Batch, TokenizedInput, collate
from app.model.manifest import SCHEMA, Manifest
from app.model.parts import Padding
from app.proof.probes import Probes
from export.graph.reader import lift_constants
from export.precision import float16, trial
from export.precision.trial import CpuSession
from export.rewriting import attention, packing
from tests.support.halved import FUSED, PACKED, RIGHT
from tests.support.loading import load_folder, try_plans
from tests.support.packed_operators import evaluator

LENGTHS = ([5], [1], [32], [3, 9, 1, 32], [7, 7], [1, 1, 2])


def batches(padding: Padding = RIGHT) -> list[Batch]:
    chance = np.random.default_rng(7)
    return [
        collate([TokenizedInput(chance.integers(5, 90, length)) for length in lengths], padding)
        for lengths in LENGTHS
    ]


def worst(left: NDArray[np.float32], right: NDArray[np.float32]) -> float:
    norms = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    return float((np.einsum("nd,nd->n", left, right) / norms).min())


def packed_in_float32(folder: Path) -> onnx.ModelProto:
    model = onnx.load(folder / "model.onnx")
    lift_constants(model.graph)
    assert attention.fuse(model) == 2
    assert packing.pack(model)
    return model


def test_the_packed_graph_lacks_nothing_but_kernels_on_a_cpu(halved: Path) -> None:
    operators = [node.op_type for node in onnx.load(halved / float16.PACKED_FILE).graph.node]
    for name, count in (
        ("RemovePadding", 1),
        ("PackedMultiHeadAttention", 2),
        ("RestorePadding", 1),
    ):
        assert operators.count(name) == count
    assert "MultiHeadAttention" not in operators
    with pytest.raises(Exception, match=r"NOT_IMPLEMENTED.*RemovePadding"):
        onnxruntime.InferenceSession(
            halved / float16.PACKED_FILE, providers=["CPUExecutionProvider"]
        )


def test_without_padding_the_same_is_computed(exported: Path) -> None:
    graph = Manifest.read(exported).graphs[0]
    exact = CpuSession(exported / graph.file, graph.inputs)
    packed = evaluator(packed_in_float32(exported))
    for batch in batches():
        expected = exact.run(batch, graph.outputs)
        real = batch.attention_mask == 1
        found = dict(
            zip(
                graph.outputs,
                packed.run(list(graph.outputs), batch.feed(graph.inputs)),
                strict=True,
            )
        )
        for name in graph.outputs[1:]:
            np.testing.assert_allclose(found[name], expected[name], atol=2e-5)
        name = graph.outputs[0]  # of each token
        np.testing.assert_allclose(found[name][real], expected[name][real], atol=2e-5)
        assert not found[name][~real].any()


def test_in_float16_it_is_close_and_finite(halved: Path) -> None:
    graph = Manifest.read(halved).graphs[0]
    exact = CpuSession(halved / graph.file, graph.inputs)
    packed = evaluator(onnx.load(halved / float16.PACKED_FILE))
    for batch in batches():
        [found] = packed.run(["sentence_embedding"], batch.feed(graph.inputs))
        expected = exact.run(batch, ["sentence_embedding"])["sentence_embedding"]
        assert found.dtype == np.float32
        assert worst(found, expected) > 0.9999


def test_a_row_that_is_all_padding_spoils_no_other(halved: Path) -> None:
    _, _, _, fused, *_ = Manifest.read(halved).graphs
    session = CpuSession(halved / fused.file, fused.inputs)
    one = batches()[0]
    arrays = (one.input_ids, one.attention_mask, one.token_type_ids, one.pooling_mask)
    empty = Batch(*(np.vstack([values, np.zeros_like(values)]) for values in arrays))
    alone = session.run(one, ["sentence_embedding"])["sentence_embedding"]
    both = session.run(empty, ["sentence_embedding"])["sentence_embedding"]
    assert np.isfinite(both).all()
    np.testing.assert_allclose(both[:1], alone, atol=1e-6)


def source(folder: Path, *, padding: Padding = RIGHT) -> trial.Model:
    graph = Manifest.read(folder).graphs[0]
    return trial.Model(folder, graph, padding, "embedding", Probes.read(folder / "probes.npz"))


def test_padding_on_the_left_is_kept(
    exported: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    folder = shutil.copytree(exported, tmp_path / "m")
    [plain] = float16.make(source(folder, padding=Padding(0, 0, "left")))
    assert plain.attention == "plain"
    assert caplog.messages == ["float16: attention is left as it is: padding is on the left"]
    assert CpuSession(folder / plain.file, plain.inputs).run(batches()[3], plain.outputs)


def test_a_mask_that_hides_more_than_padding_is_kept(
    exported: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    folder = shutil.copytree(exported, tmp_path / "m")
    model = onnx.load(folder / "model.onnx")
    look_back_only(model.graph)
    onnx.save_model(model, folder / "model.onnx")
    made = source(folder)
    session = CpuSession(folder / "model.onnx", made.exact.inputs)
    alone = [collate([one], RIGHT) for one in made.probes.inputs]
    vectors = [session.run(one, ["sentence_embedding"])["sentence_embedding"] for one in alone]
    made = replace(made, probes=replace(made.probes, vectors=np.concatenate(vectors)))
    [plain] = float16.make(made)
    assert plain.attention == "plain"
    [line] = [one for one in caplog.messages if "attention" in one]
    assert line.startswith("float16: attention is left as it is: fused it is another model: worst")
    halved = CpuSession(folder / plain.file, plain.inputs)
    for batch in batches():
        [expected], [found] = (
            one.run(batch, ["sentence_embedding"]).values() for one in (session, halved)
        )
        assert worst(found, expected) > 0.9999


def look_back_only(graph: onnx.GraphProto) -> None:
    """Let each token see only those before it, by the mask of a causal model."""
    [mask] = {
        node.input[1]
        for node in graph.node
        if node.op_type == "Add" and node.name.endswith("/attention/self/Add")
    }
    nodes = []
    for node in graph.node:
        for i, name in enumerate(node.input):
            node.input[i] = "causal" if name == mask else name
        nodes.append(node)
        if mask in node.output:
            nodes += [
                helper.make_node("Mul", [mask, "nothing"], ["zeros"]),
                helper.make_node("Sub", ["zeros", "much"], ["low"]),
                helper.make_node("Trilu", ["low", "above"], ["later"], upper=1),
                helper.make_node("Min", [mask, "later"], ["causal"]),
            ]
    del graph.node[:]
    graph.node.extend(nodes)
    graph.initializer.extend(
        numpy_helper.from_array(np.array(value, kind), name)
        for name, value, kind in (
            ("nothing", 0, np.float32),
            ("much", 1e4, np.float32),
            ("above", 1, np.int64),
        )
    )


def on_cpu(halved: Path, folder: Path) -> Path:
    """A copy whose packed graph the CPU provider may run, although it has no kernels for it."""
    shutil.copytree(halved, folder)
    manifest = Manifest.read(folder)
    exact, _, _, fused, packed, *_ = manifest.graphs
    graphs = (exact, fused, replace(packed, providers=("cpu",)))
    replace(manifest, schema=SCHEMA, graphs=graphs).write(folder)
    return folder


def test_padding_that_must_stay_is_kept_and_explained(
    halved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    try_plans(monkeypatch, PACKED, FUSED)
    model = load_folder(on_cpu(halved, tmp_path / "m"), ProviderRequest())
    assert (model.session.compute_dtype, model.session.graph.attention) == ("float16", "fused")
    assert "RemovePadding" in model.reason
    [line] = [text for text in caplog.messages if " is not used: " in text]
    assert line.startswith("cpu in float16, without padding is not used: ")
    assert model.fingerprint == model.manifest.fingerprint


def test_a_packed_graph_that_gives_other_answers_is_not_served(
    halved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = on_cpu(halved, tmp_path / "m")
    wrong = onnx.load(folder / float16.FILE)
    for node in wrong.graph.node:
        if node.op_type == "MultiHeadAttention":
            node.attribute.append(helper.make_attribute("scale", 9.0))
    onnx.save_model(wrong, folder / float16.PACKED_FILE)
    seal(folder)
    try_plans(monkeypatch, PACKED, FUSED)
    model = load_folder(folder, ProviderRequest())
    assert model.session.graph.attention == "fused"
    assert model.reason.startswith("the model does not give its original's answers here: worst")
    try_plans(monkeypatch, PACKED)
    with pytest.raises(StartupError, match=r"on cpu in float16, needed at least 0\.999;"):
        load_folder(folder, ProviderRequest())


def seal(folder: Path) -> None:
    from app.model.digests import file_digest

    manifest = Manifest.read(folder)
    files = {name: file_digest(folder / name) for name in manifest.files}
    replace(manifest, files=files).write(folder)
