"""float16: what is exported for GPUs, what of it is shown without one, and how it is served."""

import logging
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from app.errors import StartupError
from app.inference import loading
from app.inference.loading import LoadedModel, LoadOptions, load
from app.inference.providers.plan import Plan, Wanted
from app.model.batch import Batch, TokenizedInput, collate
from app.model.manifest import Manifest
from app.model.parts import Graph, Padding
from app.proof.probes import Probes
from export import pipeline
from export.cli import Request
from export.folder import card
from export.graph.reader import lift_constants
from export.precision import attention, float16, halves, packing, trial
from export.precision.cpu_session import CpuSession
from tests.support.packed_operators import evaluator

RIGHT = Padding(0, 0, "right")
LENGTHS = ([5], [1], [32], [3, 9, 1, 32], [7, 7], [1, 1, 2])


@pytest.fixture(scope="session")
def halved(bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The published folder of `bert` with its graphs for GPUs; to be read only."""
    models_dir = tmp_path_factory.mktemp("models")
    return pipeline.export(Request(str(bert), models_dir=models_dir, dtypes=("float16",)))


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


def test_two_graphs_are_published_that_share_their_weights(halved: Path, exported: Path) -> None:
    manifest, plain = Manifest.read(halved), Manifest.read(exported)
    manifest.verify_files(halved)
    exact, _, fused, packed = manifest.graphs
    assert exact == plain.graphs[0]
    assert manifest.fingerprint == plain.fingerprint
    names = (exact.inputs, exact.outputs)
    assert fused == Graph(
        float16.FILE, "float16", ("cuda", "cpu"), *names, fingerprint=None, attention="fused"
    )
    assert packed == Graph(
        float16.PACKED_FILE, "float16", ("cuda",), *names, fingerprint=None, attention="packed"
    )
    assert [path.name for path in halved.glob("*float16*.data")] == [f"{float16.FILE}.data"]
    assert not list(halved.glob("trial*"))
    of_exact, of_fused = manifest.certificates[0], manifest.certificates[-1]
    assert (of_fused.graph, of_fused.compute_dtype) == (float16.FILE, "float16")
    assert 0.999 < of_fused.worst_cosine < of_exact.worst_cosine


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
    _, _, fused, _ = Manifest.read(halved).graphs
    session = CpuSession(halved / fused.file, fused.inputs)
    one = batches()[0]
    arrays = (one.input_ids, one.attention_mask, one.token_type_ids, one.pooling_mask)
    empty = Batch(*(np.vstack([values, np.zeros_like(values)]) for values in arrays))
    alone = session.run(one, ["sentence_embedding"])["sentence_embedding"]
    both = session.run(empty, ["sentence_embedding"])["sentence_embedding"]
    assert np.isfinite(both).all()
    np.testing.assert_allclose(both[:1], alone, atol=1e-6)


def test_a_snapshot_with_onnx_gets_the_same_graphs(bert: Path, tmp_path: Path) -> None:
    from export.from_onnx import preparation
    from export.from_torch import convert

    snapshot = shutil.copytree(bert, tmp_path / "snapshot")
    convert.convert(bert, tmp_path / "bare")
    (snapshot / "onnx").mkdir()
    shutil.copyfile(tmp_path / "bare/model.onnx", snapshot / "onnx/model.onnx")
    arguments = ["--from-onnx", str(snapshot), "--models-dir", str(tmp_path / "m")]
    folder = preparation.prepare(preparation.parse([*arguments, "--dtype", "float16"]))
    manifest = Manifest.read(folder)
    assert [one.attention for one in manifest.graphs] == ["plain", "fused", "fused", "packed"]
    assert manifest.certificates[-1].worst_cosine > 0.999


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
    [line] = caplog.messages
    assert line.startswith("float16: attention is left as it is: fused it is another model: worst")
    halved = CpuSession(folder / plain.file, plain.inputs)
    for batch in batches():
        [expected], [found] = (
            one.run(batch, ["sentence_embedding"]).values() for one in (session, halved)
        )
        assert worst(found, expected) > 0.9999


def look_back_only(graph: onnx.GraphProto) -> None:
    """Let each token see those before it only: the mask is what a causal model adds."""
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


def test_what_float16_cannot_hold_stays_in_float32(
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


def test_the_folder_s_readme_says_what_it_is_for(halved: Path) -> None:
    text = (halved / card.FILE_NAME).read_text()
    one = Manifest.read(halved).certificates[-1]
    assert f"| float16 | cpu | {one.worst_cosine:.7f} |" in text
    assert "`--dtype float16` runs `model.float16.packed.onnx` or `model.float16.onnx` on" in text


def load_with(folder: Path, wanted: Wanted) -> LoadedModel:
    return load(folder, LoadOptions(wanted, 1, 16384, True))


def test_a_cpu_does_not_serve_it(halved: Path) -> None:
    with pytest.raises(StartupError, match=r"--dtype float16: it is for GPUs, .*--dtype float32"):
        load_with(halved, Wanted("cpu", "float16"))


def on_cpu(halved: Path, folder: Path) -> Path:
    """A copy whose packed graph the CPU provider may run, which has no kernels for it."""
    shutil.copytree(halved, folder)
    manifest = Manifest.read(folder)
    exact, _, fused, packed = manifest.graphs
    graphs = (exact, fused, replace(packed, providers=("cpu",)))
    replace(manifest, graphs=graphs).write(folder)
    return folder


PACKED = Plan("cpu", "it was asked for", "float16", packed=True)
FUSED = replace(PACKED, packed=False)
EXACT = replace(FUSED, compute_dtype="float32")


def try_plans(monkeypatch: pytest.MonkeyPatch, *tried: Plan) -> None:
    monkeypatch.setattr(loading, "plans", lambda *_: list(tried))


def test_where_padding_cannot_be_left_out_it_stays_and_the_reason_is_told(
    halved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    try_plans(monkeypatch, PACKED, FUSED)
    model = load_with(on_cpu(halved, tmp_path / "m"), Wanted())
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
    model = load_with(folder, Wanted())
    assert model.session.graph.attention == "fused"
    assert model.reason.startswith("the model does not give its original's answers here: worst")
    try_plans(monkeypatch, PACKED)
    with pytest.raises(StartupError, match=r"on cpu in float16, needed at least 0\.999;"):
        load_with(folder, Wanted())


def seal(folder: Path) -> None:
    from app.model.digests import file_digest

    manifest = Manifest.read(folder)
    files = {name: file_digest(folder / name) for name in manifest.files}
    replace(manifest, files=files).write(folder)


def test_float16_that_costs_much_is_not_taken_unasked(
    halved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(halved, tmp_path / "m")
    manifest = Manifest.read(folder)
    certificates = [replace(one, neighbour_overlap=0.9) for one in manifest.certificates]
    replace(manifest, certificates=tuple(certificates)).write(folder)
    try_plans(monkeypatch, replace(FUSED, must_qualify=True), EXACT)
    model = load_with(folder, Wanted())
    assert model.session.compute_dtype == "float32"
    assert model.reason.startswith("the overlap of nearest neighbours is 0.90000")


def test_without_a_graph_nobody_asked_for_nothing_is_said(
    exported: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    unasked = replace(FUSED, must_qualify=True)
    try_plans(monkeypatch, replace(unasked, packed=True), unasked, EXACT)
    assert load_with(exported, Wanted()).session.compute_dtype == "float32"
    assert not [text for text in caplog.messages if " is not used: " in text]
    try_plans(monkeypatch, PACKED, FUSED)
    with pytest.raises(
        StartupError, match=r"no float16 graph; run: make export MODEL_ID=tiny-bert"
    ):
        load_with(exported, Wanted())
