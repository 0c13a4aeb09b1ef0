"""Graphs that were optimized, narrowed or quantized elsewhere, served by name."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.transformers.float16 import convert_float_to_float16
from starlette.types import ASGIApp

from app.api.http.service import Service
from app.errors import StartupError
from app.model.manifest import GRAPH_FILE, PROBES_FILE, Manifest
from app.model.names import Dtype
from app.proof.probes import Probes
from export import pipeline
from export.errors import ExportError
from export.from_onnx.preparation import Preparation
from tests.support.snapshot import encoder, write_folder
from tools import tiny
from tools.asgi import post, request

WEIGHTS = np.random.default_rng(8).normal(size=(16, 16)).astype(np.float32)
TEXTS = ["the cat sat on the mat", "a"]


def multiplying() -> onnx.ModelProto:
    """The tiny encoder, whose last step multiplies tokens by weights."""
    model = encoder()
    model.graph.node[-1].output[0] = "inner"
    last = helper.make_node("MatMul", ["inner", "weights"], ["last_hidden_state"], name="last")
    model.graph.node.append(last)
    model.graph.initializer.append(numpy_helper.from_array(WEIGHTS, "weights"))
    return model


def expected(text: str) -> Any:
    vectors = tiny.token_vectors(tiny.ids_of(text)) @ WEIGHTS
    return tiny.unit(vectors.mean(axis=0))


def snapshot(folder: Path, name: str, model: onnx.ModelProto | None = None) -> Path:
    """A folder whose only graph, if any, has this name."""
    write_folder(folder)
    (folder / "onnx/model.onnx").unlink()
    if model is not None:
        onnx.save(model, folder / "onnx" / name)
    return folder


def quantized(folder: Path, name: str) -> Path:
    snapshot(folder, name)
    onnx.save(multiplying(), folder / "exact.onnx")
    quantize_dynamic(folder / "exact.onnx", folder / "onnx" / name, weight_type=QuantType.QInt8)
    (folder / "exact.onnx").unlink()
    return folder


def prepare(folder: Path, name: str | None, dtypes: tuple[Dtype, ...] = ()) -> Path:
    return pipeline.prepare(
        Preparation(folder, folder / "models", "m", "m", None, dtypes, onnx_file=name)
    )


def optimized() -> onnx.ModelProto:
    """The output of ONNX Runtime's optimizer: its own operators, one under a standard name."""
    ones, zeros = np.ones(16, np.float32), np.zeros(16, np.float32)
    model = encoder()
    graph = model.graph
    graph.node[-1].output[0] = "inner"
    own = "com.microsoft"
    graph.node.extend(
        [
            helper.make_node("LayerNormalization", ["inner", "ones", "zeros"], ["even"]),
            helper.make_node(
                "SkipLayerNormalization", ["even", "inner", "ones", "zeros"], ["last"], domain=own
            ),
            helper.make_node("Unsqueeze", ["last"], ["wide"], axes=[3]),
            helper.make_node("Squeeze", ["wide"], ["last_hidden_state"], axes=[3]),
        ]
    )
    for key, value in {"ones": ones, "zeros": zeros}.items():
        graph.initializer.append(numpy_helper.from_array(value, key))
    versions = [helper.make_opsetid("", 11), helper.make_opsetid(own, 1)]
    return helper.make_model(graph, opset_imports=versions, ir_version=7)


def test_an_optimized_graph_is_served_exactly(tmp_path: Path) -> None:
    folder = snapshot(tmp_path / "m", "model_optimized.onnx", optimized())
    manifest = Manifest.read(prepare(folder, "onnx/model_optimized.onnx"))
    assert (manifest.graphs[0].file, manifest.graphs[0].dtype) == (GRAPH_FILE, "float32")
    [certificate, *_] = manifest.certificates
    assert certificate.reference == "onnx-fp32"
    assert certificate.worst_cosine >= 0.99999


@pytest.mark.parametrize("wide_ends", [True, False], ids=["O4", "fp16"])
def test_halves_are_computed_in_float32(tmp_path: Path, *, wide_ends: bool) -> None:
    model = convert_float_to_float16(multiplying(), keep_io_types=wide_ends)
    place = prepare(snapshot(tmp_path / "m", "model_fp16.onnx", model), "model_fp16.onnx")
    graph = onnx.load(place / GRAPH_FILE).graph
    assert TensorProto.FLOAT16 not in {item.data_type for item in graph.initializer}
    assert Manifest.read(place).graphs[0].dtype == "float32"
    probes = Probes.read(place / PROBES_FILE)
    exact = tiny.token_vectors(probes.inputs[0].input_ids) @ WEIGHTS
    np.testing.assert_allclose(probes.vectors[0], exact.mean(axis=0), atol=0.02)


def test_a_quantized_graph_is_served_as_what_it_is(
    tmp_path: Path, make_service: Callable[..., tuple[Service, ASGIApp]]
) -> None:
    place = prepare(quantized(tmp_path / "m", "model_quantized.onnx"), "model_quantized.onnx")
    manifest = Manifest.read(place)
    [graph] = manifest.graphs
    assert (graph.dtype, graph.providers, graph.rows) == ("int8", ("cpu",), 1)
    assert {one.reference for one in manifest.certificates} == {"onnx-int8"}
    assert {one.compute_dtype for one in manifest.certificates} == {"int8"}
    assert min(one.worst_cosine for one in manifest.certificates) >= 0.99999
    assert "the quantized ONNX graph as it was found" in (place / "README.md").read_text()
    app = make_service(model_id=str(place))[1]  # with --dtype auto
    found = post(app, "/embed", {"inputs": TEXTS}).json
    for text, vector in zip(TEXTS, found, strict=True):
        assert np.dot(vector, expected(text)) > 0.98
    for text, vector in zip(TEXTS, found, strict=True):  # answers do not depend on other texts
        assert post(app, "/embed", {"inputs": text}).json == [vector]
    assert request(app, "GET", "/info").json["model_dtype"] == "int8"


def test_a_quantized_graph_by_the_usual_name_is_no_float32_one(tmp_path: Path) -> None:
    place = prepare(quantized(tmp_path / "m", "model.onnx"), None)
    assert [graph.dtype for graph in Manifest.read(place).graphs] == ["int8"]
    assert Manifest.read(prepare(tmp_path / "m", None, ("int8",))).graphs


def test_no_other_precision_is_made_of_a_quantized_graph(tmp_path: Path) -> None:
    folder = quantized(tmp_path / "m", "model_int8.onnx")
    with pytest.raises(ExportError, match=r"--dtype float16: .*model_int8\.onnx is quantized to 8"):
        prepare(folder, "model_int8.onnx", ("float16",))


def test_float32_of_it_is_refused(
    tmp_path: Path, make_service: Callable[..., tuple[Service, ASGIApp]]
) -> None:
    place = prepare(quantized(tmp_path / "m", "model_int8.onnx"), "model_int8.onnx")
    with pytest.raises(StartupError, match="--dtype float32: the model's one graph is quantized"):
        make_service(model_id=str(place), dtype="float32", provider="cpu")


@pytest.mark.parametrize("how", ["MatMulNBits", "int4"])
def test_4_bits_are_refused_by_what_shows_them(tmp_path: Path, how: str) -> None:
    model = multiplying()
    if how == "int4":
        packed = helper.make_tensor("packed", TensorProto.INT4, [2], [1, 2])
        model.graph.initializer.append(packed)
    else:
        model.graph.node[-1].op_type, model.graph.node[-1].domain = how, "com.microsoft"
    folder = snapshot(tmp_path / "m", "model.onnx", model)
    with pytest.raises(ExportError, match=rf"is rounded to 4 bits \({how}\), which is not served"):
        prepare(folder, None)


def test_weights_beside_a_named_graph_are_its_own(tmp_path: Path) -> None:
    folder = snapshot(tmp_path / "m", "x.onnx")
    onnx.save_model(
        multiplying(), folder / "onnx/model_a.onnx", save_as_external_data=True,
        location="model_a.onnx_data", size_threshold=0,
    )  # fmt: skip
    assert Manifest.read(prepare(folder, "model_a.onnx")).certificates


def test_a_name_that_is_not_there_lists_what_is(tmp_path: Path) -> None:
    folder = snapshot(tmp_path / "m", "model_fp16.onnx", multiplying())
    with pytest.raises(ExportError) as refusal:
        prepare(folder, "model_int8.onnx")
    assert str(refusal.value) == (
        f"{folder} holds no model_int8.onnx, only onnx/model_fp16.onnx: name one with --onnx-file "
        "(ONNX_FILE)"
    )
