"""The int16 graph: what it computes, how close it comes, and when there is none."""

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from app.model.batch import BatchLimits
from app.model.manifest import Manifest
from app.operators import library
from app.proof import bounds, replay
from app.proof.probes import Probes
from export.graph.reader import attribute, lift_constants
from export.precision import cpu, int16, trial
from tests.export.rewriting.test_linear_layers import GATED, HALVES
from tests.export.rewriting.test_plain import finished
from tests.support import operators
from tests.support.layer_graphs import GELU, WIDTH, Node, linear, model
from tests.support.operators import Operators

QKV = [node for i in range(4) for node in linear("x", f"w{i}", f"b{i}", f"y{i}")]


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Operators:
    if (found := operators.obstacle()) is not None:
        pytest.skip(found)
    return Operators(operators.built(tmp_path_factory.mktemp("operators")))


def counted(made: onnx.ModelProto) -> dict[str, int]:
    return dict(Counter(node.op_type for node in made.graph.node))


@pytest.mark.parametrize(
    ("nodes", "outputs", "left"),
    [
        (QKV, ("y0", "y1", "y2", "y3"), {"Int16Products": 2}),
        (
            [*linear("x", "w0", "b0", "h"), ("Add", "x h", "y")],
            ("y",),
            {"Int16Products": 1, "Add": 1},
        ),
        *(
            (nodes, outputs, {"Int16Products": 1} | dict(Counter(op for op, _, _ in GELU)))
            for nodes, outputs in (
                ([("MatMul", "x w0", "h"), *GELU], ("a",)),
                ([*linear("x", "up", "up_bias", "h"), *GELU], ("a", "h")),
            )
        ),
        *((nodes, ("y",), {"Int16Products": 1}) for nodes in GATED.values()),
    ],
)
def test_a_rewritten_graph_computes_the_same(
    runner: Operators, nodes: Sequence[Node], outputs: Sequence[str], left: dict[str, int]
) -> None:
    source = model(nodes, outputs, HALVES)
    made = onnx.ModelProto()
    made.CopyFrom(source)
    int16.rewrite(made)
    assert counted(made) == left
    x = np.random.default_rng(3).normal(size=(2, 5, WIDTH)).astype(np.float32)
    exact = onnxruntime.InferenceSession(source.SerializeToString())
    rounded = runner.session(made.SerializeToString())
    for one, other in zip(exact.run(None, {"x": x}), rounded.run(None, {"x": x}), strict=True):
        np.testing.assert_allclose(one, other, atol=5e-4 * np.abs(one).max())


def test_a_graph_without_products_stays_as_it_is() -> None:
    made = model([("Relu", "x", "y")])
    before = made.SerializeToString()
    assert int16.rewrite(made) == 0
    assert made.SerializeToString() == before


def source_of(folder: Path) -> trial.Model:
    manifest = Manifest.read(folder)
    probes = Probes.read(folder / "probes.npz")
    return trial.Model(folder, manifest.graphs[0], manifest.padding, manifest.task, probes)


@pytest.fixture
def folder(exported: Path, tmp_path: Path) -> Path:
    for path in exported.iterdir():
        if path.name != int16.FILE:
            (tmp_path / path.name).write_bytes(path.read_bytes())
    return tmp_path


@pytest.fixture
def compiled(runner: Operators, monkeypatch: pytest.MonkeyPatch) -> None:
    """The operators that this process compiled, where the working tree has no current ones."""
    monkeypatch.setattr(library, "LIBRARY", runner.path)
    if (found := library.fault()) is not None:
        pytest.skip(found)


@pytest.mark.usefixtures("compiled")
@pytest.mark.parametrize("fused", [True, False])
def test_the_graph_shares_the_weights_and_comes_close(folder: Path, fused: bool) -> None:
    source = source_of(folder)
    graph = Manifest.read(folder).graphs[1] if fused else source.exact
    made = int16.make(source, graph)
    assert made == replace(graph, file=int16.FILE, dtype="int16", providers=("cpu",))
    found = onnx.load(folder / int16.FILE, load_external_data=False)
    assert counted(found)["Int16Products"] == 6
    assert (counted(found).get("If", 0) == 2) == fused
    assert not list(folder.glob("trial*"))
    session = trial.CpuSession(folder / int16.FILE, made.inputs)
    limits = source.probes, source.padding, BatchLimits(64), "sentence_embedding"
    agreement = replay.replay(session, *limits)
    assert bounds.is_proved("embedding", "int16", agreement)
    assert agreement.largest_error > 0  # it does round


def test_without_the_operators_there_is_no_graph_and_the_remedy_is_logged(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(library, "LIBRARY", folder / "operators.so")
    source = source_of(folder)
    with caplog.at_level(logging.INFO):
        assert int16.make(source, source.exact) is None
    line = "int16 is not made: the operators are not built: run python -m app.operators.build"
    assert line in [record.getMessage() for record in caplog.records]
    assert not (folder / int16.FILE).exists()


@pytest.mark.usefixtures("compiled")
def test_a_graph_that_comes_out_wrong_is_not_kept(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = source_of(folder)
    wrong = source.probes.vectors[::-1].copy()
    source = replace(source, probes=replace(source.probes, vectors=wrong))
    with caplog.at_level(logging.INFO):
        assert int16.make(source, source.exact) is None
    assert "int16 is not made: the model loses too much: worst cosine" in caplog.text
    assert not (folder / int16.FILE).exists()
    assert not list(folder.glob("trial*"))
    assert (folder / cpu.FILE).exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "layers", "parts", "gate"),
    [
        ("modernbert-cls", 4, {1: 8}, 2),  # queries, keys and values are one product
        ("qwen3-lasttoken", 2, {3: 2, 1: 2}, 1),
        pytest.param("qwen2-lasttoken", 2, {3: 2, 1: 2}, 1, marks=pytest.mark.slow),
        pytest.param("llama-lasttoken", 2, {3: 2, 1: 2}, 1, marks=pytest.mark.slow),
        pytest.param("gemma3-mean-dense", 3, {3: 3, 1: 3}, 1, marks=pytest.mark.slow),
        pytest.param("t5-mean-dense", 2, {3: 2, 1: 2}, 1, marks=pytest.mark.slow),
    ],
)
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_layers_with_a_gate_are_whole(
    tmp_path: Path, name: str, layers: int, parts: Mapping[int, int], gate: int
) -> None:
    """The gate is a product of its own, 1, or one half of what was one product, 2."""
    made = onnx.load(finished(name, tmp_path), load_external_data=False)
    lift_constants(made.graph)
    int16.rewrite(made)
    products = [node for node in made.graph.node if node.op_type == "Int16Products"]
    wide = [node for node in products if attribute(node, "feed_forward")]
    assert Counter(attribute(node, "halves") for node in wide) == {gate - 1: layers}
    assert all(len(node.input) == 7 for node in wide)  # x, and three weights with their biases
    others = Counter(len(node.output) for node in products if node not in wide)
    assert others == parts


def plant_outliers(folder: Path, times: float) -> None:
    """Enlarge channels between two products, and shrink their readers: the same function."""
    path, channels = folder / "model.onnx", [3, 20]
    planted = onnx.load(path)
    constants = {item.name: item for item in planted.graph.initializer}
    weights = {
        node.name.removesuffix("/MatMul"): node.input[1]
        for node in planted.graph.node
        if node.op_type == "MatMul"
    }
    for layer in range(2):
        place = f"/encoder/layer.{layer}/attention"  # whose bias is zero
        for name, at, factor in (
            (weights[f"{place}/self/value"], (slice(None), channels), times),
            (weights[f"{place}/output/dense"], channels, 1 / times),
        ):
            values = onnx.numpy_helper.to_array(constants[name]).copy()
            values[at] *= factor
            constants[name].CopyFrom(onnx.numpy_helper.from_array(values, name))
    (folder / "model.onnx.data").unlink()
    onnx.save(planted, path, save_as_external_data=True, location="model.onnx.data")


@pytest.mark.usefixtures("compiled")
@pytest.mark.parametrize(("times", "kept"), [(16, True), (2**14, False)])
def test_a_model_with_outlier_channels_is_not_kept_if_it_loses_too_much(
    folder: Path, caplog: pytest.LogCaptureFixture, times: float, kept: bool
) -> None:
    source = source_of(folder)
    plant_outliers(folder, times)
    exact = onnx.load(folder / "model.onnx", load_external_data=False)
    assert trial.fault(exact, source) is None  # float32 is as good as before
    with caplog.at_level(logging.INFO):
        assert (int16.make(source, source.exact) is not None) == kept
    assert ("int16 is not made: the model loses too much: worst cosine" in caplog.text) != kept
    assert (folder / int16.FILE).exists() == kept
