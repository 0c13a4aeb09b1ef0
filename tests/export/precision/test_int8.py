"""int8: the exported graph, its cost, and its serving."""

import asyncio
import logging
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from starlette.types import ASGIApp

from app.api.http.info import info
from app.api.http.service import Service
from app.errors import StartupError
from app.inference.admission import InputOptions
from app.inference.loading import LoadedModel
from app.inference.providers.plan import Plan, ProviderRequest
from app.inference.providers.session import Session
from app.model.batch import TokenizedInput, collate
from app.model.manifest import Manifest
from app.model.parts import Graph, Padding
from app.proof.probes import Probes
from export import pipeline
from export.cli import Request
from export.errors import ExportError
from export.folder import card, check
from export.folder.fingerprint import lossy
from export.precision import int8
from tests.support.loading import load_folder
from tools import tiny
from tools.asgi import post

PADDING = Padding(0, 0, "right")
TEXTS = ["the rain", "a guitar on the old stage in paris", "market", "water is at rest"]


@pytest.fixture(scope="session")
def both(bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The published folder of `bert` with both graphs; to be read only."""
    models_dir = tmp_path_factory.mktemp("models")
    return pipeline.export(Request(str(bert), models_dir=models_dir, dtypes=("int8",)))


def load_int8(folder: Path) -> LoadedModel:
    return load_folder(folder, ProviderRequest("auto", "int8", threads=1))


def test_a_second_graph_is_published_beside_the_first(both: Path, exported: Path) -> None:
    manifest = Manifest.read(both)
    manifest.verify_files(both)
    exact, _, _, second, *_ = manifest.graphs
    assert (exact, second.dtype, second.providers) == (
        Manifest.read(exported).graphs[0],
        "int8",
        ("cpu",),
    )
    assert {second.file, f"{second.file}.data"} <= set(manifest.files)
    assert not list(both.glob("calibration*"))
    of_exact, of_int8 = manifest.certificates[:2]
    assert (of_exact.compute_dtype, of_int8.compute_dtype) == ("float32", "int8")
    assert 0.95 < of_int8.worst_cosine < 0.99999
    assert of_int8.graph == second.file
    assert of_int8.neighbour_overlap is not None
    assert of_int8.neighbour_overlap < 1


def test_a_vector_does_not_depend_on_its_batch(both: Path) -> None:
    certificate = Manifest.read(both).certificates[1]
    assert certificate.batch_cosine == pytest.approx(1, abs=1e-6)


def test_only_the_lossy_graph_is_another_vector_space(both: Path, exported: Path) -> None:
    manifest = Manifest.read(both)
    assert manifest.fingerprint == Manifest.read(exported).fingerprint
    exact, _, _, second, *_ = manifest.graphs
    assert exact.fingerprint is None
    assert second.fingerprint == lossy(manifest.fingerprint, int8.SCHEME)


def test_the_folder_s_readme_says_what_it_costs(both: Path) -> None:
    text = (both / card.FILE_NAME).read_text()
    one = Manifest.read(both).certificates[1]
    assert f"| int8 | cpu | {one.worst_cosine:.7f} |" in text
    assert "`--dtype int8` runs `model.int8.onnx`, which is smaller, faster, and does not" in text


def embed(service: Service, texts: list[str]) -> NDArray[np.float32]:
    return asyncio.run(service.model.engine.embed(texts, InputOptions())).value


def test_it_is_served_under_its_own_name_and_fingerprint(
    both: Path,
    make_service: Callable[..., tuple[Service, ASGIApp]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    service, app = make_service(model_id=str(both), dtype="int8", threads=1)
    [fingerprint] = [one.fingerprint for one in Manifest.read(both).graphs if one.dtype == "int8"]
    told = info(service.model)
    assert (told["model_dtype"], told["fingerprint"]) == ("int8", fingerprint)
    headers = post(app, "/embed", {"inputs": "a"}).headers
    assert headers["x-model-fingerprint"] == fingerprint
    assert headers["x-compute-dtype"] == "int8"
    proof: Any = told["proof"]
    certificate = proof["certificate"]
    assert certificate["compute_dtype"] == "int8"
    [line] = [text for text in caplog.messages if text.startswith("int8 costs this model: ")]
    assert f"worst cosine {certificate['worst_cosine']:.5f}" in line

    exact, _ = make_service(model_id=str(both), threads=1, provider="cpu", dtype="float32")
    assert info(exact.model)["model_dtype"] == "float32"
    cosines = np.einsum("nd,nd->n", embed(service, TEXTS), embed(exact, TEXTS))
    assert 0.95 < cosines.min() < 0.99999


def test_a_folder_without_the_graph_names_the_remedy(exported: Path) -> None:
    with pytest.raises(
        StartupError,
        match=r"holds no int8 graph; run: make export MODEL_ID=tiny-bert DTYPE=int8, or use --dtype",
    ):
        load_int8(exported)


def recertify(both: Path, folder: Path, **changes: object) -> Path:
    """A copy of the folder with a changed int8 certificate."""
    shutil.copytree(both, folder)
    manifest = Manifest.read(folder)
    exact, second = manifest.certificates[:2]
    changed = replace(second, **changes)  # type: ignore[arg-type]  # by the name of its field
    replace(manifest, certificates=(exact, changed)).write(folder)
    return folder


def test_answers_that_are_worse_than_certified_are_not_served(both: Path, tmp_path: Path) -> None:
    folder = recertify(both, tmp_path / "m", worst_cosine=0.999999, machine="another")
    with pytest.raises(
        StartupError, match=r"int8 comes less close here than .* 0\.9999990 on another; use --dtype"
    ):
        load_int8(folder)


def test_another_machine_s_certificate_is_what_it_is_measured_by(
    both: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    model = load_int8(recertify(both, tmp_path / "m", machine="another"))
    assert model.proof.probes == 64
    assert any(text.endswith("probes on another") for text in caplog.messages)


def test_without_a_certificate_it_is_not_served(both: Path, tmp_path: Path) -> None:
    folder = recertify(both, tmp_path / "m", compute_dtype="bfloat16")
    with pytest.raises(StartupError, match="does not say what it costs; export it again"):
        load_int8(folder)


def test_a_new_check_is_measured_by_the_certificate(
    both: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    check.check(check.Checked(str(both), tmp_path))
    lines = [text for text in caplog.messages if " in int8: worst cosine " in text]
    assert lines[0].startswith("proved   cpu in int8: ")
    folder = recertify(both, tmp_path / "m", worst_cosine=0.999999)
    with pytest.raises(ExportError, match="does not give its original's answers here"):
        check.check(check.Checked(str(folder), tmp_path))
    missed = [text for text in caplog.messages if text.startswith("MISSED   cpu in int8: ")]
    assert missed[0].endswith("(needed: about as close as certified, worst cosine 0.9999990)")


@pytest.mark.slow
def test_a_snapshot_with_onnx_is_prepared_in_both_precisions(bert: Path, tmp_path: Path) -> None:
    from export.from_onnx import preparation
    from export.from_torch import convert

    snapshot = shutil.copytree(bert, tmp_path / "snapshot")
    convert.convert(bert, tmp_path / "bare")
    (snapshot / "onnx").mkdir()
    shutil.copyfile(tmp_path / "bare/model.onnx", snapshot / "onnx/model.onnx")
    arguments = ["--from-onnx", str(snapshot), "--models-dir", str(tmp_path / "m")]
    folder = pipeline.prepare(preparation.parse([*arguments, "--dtype", "int8"]))
    manifest = Manifest.read(folder)
    assert [graph.dtype for graph in manifest.graphs[:4]] == [
        "float32",
        "float32",
        "float32",
        "int8",
    ]
    assert {one.reference for one in manifest.certificates} == {"onnx-fp32"}
    assert load_int8(folder).session.compute_dtype == "int8"


def write_product(folder: Path, weights: NDArray[np.float32]) -> Graph:
    """(B, S) ids → rows of a table (3, K) times weights (K, N)."""
    table = np.array([[1, -2, 0.5, 0], [0, 0, 0, 0], [3, 1, 1e-3, -8]], np.float32)
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["rows"]),
        helper.make_node("MatMul", ["rows", "weights"], ["token_embeddings"]),
    ]
    graph = helper.make_graph(
        nodes,
        "product",
        [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ("b", "s"))],
        [helper.make_tensor_value_info("token_embeddings", TensorProto.FLOAT, ("b", "s", None))],
        [numpy_helper.from_array(table, "table"), numpy_helper.from_array(weights, "weights")],
    )
    opset = helper.make_opsetid("", 18)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=10), folder / "model.onnx")
    return Graph("model.onnx", "float32", ("cpu",), ("input_ids",), ("token_embeddings",))


def served(folder: Path, graph: Graph, inputs: list[TokenizedInput]) -> NDArray[np.float32]:
    """Return the first output of a graph that is served alone from a folder."""
    manifest = replace(tiny.build(folder / "manifest"), graphs=(replace(graph, dtype="int8"),))
    plan = Plan("cpu", "asked for", compute_dtype="int8")
    output = graph.outputs[0]
    session = Session.load(folder, manifest, plan)
    return session.run(collate(inputs, PADDING), [output])[output]


def test_products_are_of_integers_with_a_scale_for_each_token_and_channel(tmp_path: Path) -> None:
    weights = np.random.default_rng(3).normal(size=(4, 5)).astype(np.float32)
    exact = write_product(tmp_path, weights)
    ids = TokenizedInput(np.array([0, 1, 2], np.int64))
    probes = Probes(("x",), (ids,), np.zeros((1, 5), np.float32))
    made = int8.quantize(tmp_path, exact, probes, PADDING)
    [found] = served(tmp_path, made, [ids])

    rows = np.array([[1, -2, 0.5, 0], [0, 0, 0, 0], [3, 1, 1e-3, -8]])
    factors = np.sqrt(np.abs(rows).max(axis=0) / np.abs(weights).max(axis=1))
    even, spread = rows / factors, weights * factors[:, None]
    of_rows = np.abs(even).max(axis=1, keepdims=True) / 127
    of_columns = np.abs(spread).max(axis=0) / 127
    integers = np.rint(even / np.maximum(of_rows, 1e-12)) @ np.rint(spread / of_columns)
    np.testing.assert_allclose(found, integers * of_rows * of_columns, rtol=1e-5, atol=1e-6)
    operators = {node.op_type for node in onnx.load(tmp_path / made.file).graph.node}
    assert "MatMulInteger" in operators
    assert "MatMul" not in operators


def test_layers_behind_the_encoder_stay_exact(tmp_path: Path) -> None:
    exact = write_product(tmp_path, np.ones((4, 5), np.float32))
    model = onnx.load(tmp_path / exact.file)
    model.graph.initializer[1].name = model.graph.node[1].input[1] = "head/dense"
    onnx.save(model, tmp_path / exact.file)
    with pytest.raises(ExportError, match="--dtype int8: the model multiplies nothing by weights"):
        int8.quantize(tmp_path, exact, Probes((), (), np.zeros((0, 5), np.float32)), PADDING)


@pytest.mark.parametrize("columns", [1, 16, 300])
def test_products_of_the_largest_bytes_are_exact(tmp_path: Path, columns: int) -> None:
    """Processors without VNNI add two products up in 16 bits, unless configured otherwise."""
    weights = np.full((64, columns), 127, np.int8)
    nodes = [
        helper.make_node("Cast", ["input_ids"], ["bytes"], to=TensorProto.UINT8),
        helper.make_node("MatMulInteger", ["bytes", "weights"], ["sums"]),
        helper.make_node("Cast", ["sums"], ["sentence_embedding"], to=TensorProto.FLOAT),
    ]
    graph = helper.make_graph(
        nodes,
        "products",
        [helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["rows", "tokens"])],
        [helper.make_tensor_value_info("sentence_embedding", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(weights, "weights")],
    )
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), tmp_path / "model.onnx")
    one = Graph("model.onnx", "int8", ("cpu",), ("input_ids",), ("sentence_embedding",))
    sums = served(tmp_path, one, [TokenizedInput(np.full(64, 255))] * 3)
    np.testing.assert_array_equal(sums, np.full((3, columns), 64 * 255 * 127, np.float32))
