"""Graphs that yield a text's vector themselves: what is served must equal it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from starlette.types import ASGIApp

from app.api.http.service import Service
from app.model.manifest import PROBES_FILE, Manifest
from app.model.names import SENTENCE_EMBEDDING, TOKEN_EMBEDDINGS
from app.proof.probes import Probes
from export import pipeline
from export.errors import ExportError
from export.from_onnx.preparation import Preparation
from tests.support.snapshot import encoder, write_folder
from tools import tiny
from tools.asgi import post, request

WIDE = 20  # of the result of a Dense layer in a graph
DENSE = np.random.default_rng(5).normal(size=(tiny.DIMENSIONS, WIDE)).astype(np.float32)
BEHIND = ("MatMul",)


def answering(
    operators: tuple[str, ...] = (), name: str = "sentence_embedding", *, masked: bool = True
) -> onnx.ModelProto:
    """The tiny encoder, whose graph also takes a mean and continues from it."""
    model = encoder()
    graph = model.graph
    [tokens] = [item.name for item in graph.output]
    last = f"step{len(operators)}"
    nodes: list[tuple[str, list[str], str, dict[str, Any]]] = [
        ("Cast", ["attention_mask"], "reals", {"to": TensorProto.FLOAT}),
        ("Unsqueeze", ["reals", "two"], "column", {}),
        ("Mul", [tokens, "column"] if masked else [tokens, "unit"], "kept", {}),
        ("ReduceSum", ["kept", "one"], "total", {"keepdims": 0}),
        ("ReduceSum", ["column", "one"], "count", {"keepdims": 0}),
        ("Div", ["total", "count"], "step0", {}),
        *(
            (one, [f"step{i}", *(["dense"] if one == "MatMul" else [])], f"step{i + 1}", {})
            for i, one in enumerate(operators)
        ),
        ("Identity", [last], name, {}),
    ]
    for operator, inputs, output, attributes in nodes:
        graph.node.append(helper.make_node(operator, inputs, [output], name=output, **attributes))
    constants = {"one": [1], "two": [2], "unit": np.float32(1), "dense": DENSE}
    for key, value in constants.items():
        graph.initializer.append(numpy_helper.from_array(np.array(value), key))
    width = WIDE if "MatMul" in operators else tiny.DIMENSIONS
    graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, ("b", width)))
    return model


def alone(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same graph without its outputs for tokens."""
    del model.graph.output[0]
    return model


def snapshot(folder: Path, model: onnx.ModelProto, pooling: dict[str, Any] | None = None) -> Path:
    write_folder(folder, model)
    if pooling is None:
        (folder / "modules.json").unlink()
        shutil.rmtree(folder / "1_Pooling")
    else:
        (folder / "1_Pooling/config.json").write_text(json.dumps(pooling))
    return folder


def prepared(folder: Path, pooling: Any = None) -> Path:
    return pipeline.prepare(Preparation(folder, folder / "models", "m", "m", pooling))


def prepare(folder: Path, pooling: Any = None) -> Manifest:
    return Manifest.read(prepared(folder, pooling))


def vectors(place: Path) -> Any:
    """Return the served graph's answers, which its proof checked."""
    return Probes.read(place / PROBES_FILE).vectors


@pytest.mark.parametrize("name", ["sentence_embedding", "dense_vecs"])
def test_the_graph_s_own_answer_says_how_it_pools(tmp_path: Path, name: str) -> None:
    manifest = prepare(snapshot(tmp_path / "m", answering((), name)))
    assert (manifest.pooling, manifest.pooling_source) == ("mean", f"{name} of the graph")
    assert "pooled_cls" in manifest.graphs[0].outputs


@pytest.mark.slow
@pytest.mark.parametrize("stated", [None, {"pooling_mode": "mean"}], ids=["silent", "stated"])
def test_vectors_at_length_1_stay_so(tmp_path: Path, stated: dict[str, Any] | None) -> None:
    place = prepared(snapshot(tmp_path / "m", answering(("LpNormalization",)), stated))
    assert Manifest.read(place).pooling == "mean"
    np.testing.assert_allclose(np.linalg.norm(vectors(place), axis=1), 1, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("operators", [BEHIND, ("Erf",), (*BEHIND, "LpNormalization")])
@pytest.mark.parametrize("only", [False, True], ids=["tokens too", "alone"])
def test_further_layers_in_the_graph_are_served(
    tmp_path: Path, operators: tuple[str, ...], *, only: bool
) -> None:
    model = answering(operators)
    place = prepared(snapshot(tmp_path / "m", alone(model) if only else model))
    manifest = Manifest.read(place)
    assert (manifest.pooling, manifest.pooling_source) == (
        "graph", "sentence_embedding of the graph"
    )  # fmt: skip
    assert manifest.dimensions == (WIDE if "MatMul" in operators else tiny.DIMENSIONS)
    tokens = () if only else (TOKEN_EMBEDDINGS,)
    assert manifest.graphs[0].outputs == (*tokens, SENTENCE_EMBEDDING)
    probes = Probes.read(place / PROBES_FILE)
    if operators == BEHIND:
        mean = tiny.reference(probes.inputs[0].input_ids, probes.inputs[0].token_type_ids)
        np.testing.assert_allclose(probes.vectors[0], mean @ DENSE, atol=1e-5)
    assert manifest.certificates[0].worst_cosine >= 0.99999


@pytest.mark.parametrize("only", [False, True])
def test_a_graph_that_only_pools_is_served_with_or_without_its_tokens(
    tmp_path: Path, *, only: bool
) -> None:
    model = answering()
    manifest = prepare(snapshot(tmp_path / "m", alone(model) if only else model))
    assert manifest.pooling == ("graph" if only else "mean")


def test_layers_that_the_graph_has_already_need_no_weights(tmp_path: Path) -> None:
    folder = snapshot(tmp_path / "m", answering(BEHIND), {"pooling_mode": "mean"})
    dense = {"in_features": tiny.DIMENSIONS, "out_features": WIDE, "bias": False}
    (folder / "2_Dense").mkdir()
    (folder / "2_Dense/config.json").write_text(json.dumps(dense))
    modules = json.loads((folder / "modules.json").read_text())[:2]
    modules.append({"type": "sentence_transformers.models.Dense", "path": "2_Dense"})
    (folder / "modules.json").write_text(json.dumps(modules))
    manifest = prepare(folder)
    assert (manifest.pooling, manifest.dimensions) == ("graph", WIDE)


@pytest.mark.slow
@pytest.mark.parametrize("size", [8, 17, WIDE])
def test_truncate_dim_cuts_what_the_graph_yields(tmp_path: Path, size: int) -> None:
    folder = snapshot(tmp_path / "m", answering(BEHIND))
    settings = {"prompts": {}, "truncate_dim": size}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(settings))
    place = prepared(folder)
    assert Manifest.read(place).dimensions == size
    inputs = Probes.read(place / PROBES_FILE).inputs[0]
    mean = tiny.reference(inputs.input_ids, inputs.token_type_ids)
    np.testing.assert_allclose(vectors(place)[0], (mean @ DENSE)[:size], atol=1e-5)


def test_a_graph_that_ignores_the_mask_is_refused(tmp_path: Path) -> None:
    folder = snapshot(tmp_path / "m", alone(answering(BEHIND, masked=False)))
    with pytest.raises(ExportError, match="does not match the original model"):
        prepare(folder)
    assert not (folder / "models/m").exists()


@pytest.mark.parametrize(
    ("operators", "stated", "option", "said"),
    [
        (("Erf",), None, "mean", "and that is not mean of its tokens (by --pooling): leave the"),
        ((), None, "cls", "is mean of its tokens, and that is not cls (by --pooling)"),
        ((), "cls", None, "is mean of its tokens, and that is not cls (by 1_Pooling/config.json)"),
        ((), "cls", None, "where the graph is right, name --pooling mean (POOLING=)"),
    ],
)
def test_another_pooling_than_the_graph_s_own_is_refused(
    tmp_path: Path, operators: tuple[str, ...], stated: str | None, option: Any, said: str
) -> None:
    pooling = {"pooling_mode": stated} if stated else None
    folder = snapshot(tmp_path / "m", answering(operators), pooling)
    with pytest.raises(ExportError) as refusal:
        prepare(folder, option)
    assert str(refusal.value).startswith("model.onnx yields sentence_embedding, ")
    assert said in str(refusal.value)
    assert not (folder / "models/m").exists()


def test_the_option_that_agrees_with_the_graph_settles_it(tmp_path: Path) -> None:
    folder = snapshot(tmp_path / "m", answering(), {"pooling_mode": "cls"})
    manifest = prepare(folder, "mean")
    assert (manifest.pooling, manifest.pooling_source) == ("mean", "--pooling")


def test_no_pooling_is_asked_of_a_graph_without_tokens(tmp_path: Path) -> None:
    folder = snapshot(tmp_path / "m", alone(answering()))
    with pytest.raises(ExportError, match=r"and not its tokens \(by --pooling\): leave the option"):
        prepare(folder, "mean")


def test_no_prompt_is_left_out_of_what_the_graph_pools(tmp_path: Path) -> None:
    stated = {"pooling_mode": "mean", "include_prompt": False}
    folder = snapshot(tmp_path / "m", answering(BEHIND), stated)
    with pytest.raises(
        ExportError, match=r"has a prompt's tokens in it, and 1_Pooling/config\.json"
    ):
        prepare(folder)


@pytest.mark.parametrize("name", ["sentence_embedding", "last_hidden_state"])
def test_an_output_that_is_not_float32_is_named(tmp_path: Path, name: str) -> None:
    model = answering(BEHIND)
    [output] = [item for item in model.graph.output if item.name == name]
    output.type.tensor_type.elem_type = TensorProto.DOUBLE
    with pytest.raises(ExportError, match=f"{name} is not float32"):
        prepare(snapshot(tmp_path / "m", model))


def test_pooler_output_is_no_answer(tmp_path: Path) -> None:
    folder = snapshot(tmp_path / "m", answering((), "pooler_output"))
    with pytest.raises(ExportError, match="to say how to pool"):
        prepare(folder)


@pytest.mark.parametrize("only", [False, True], ids=["tokens too", "alone"])
def test_it_is_served_as_the_graph_has_it(
    tmp_path: Path, make_service: Callable[..., tuple[Service, ASGIApp]], *, only: bool
) -> None:
    model = answering(BEHIND)
    place = prepared(snapshot(tmp_path / "m", alone(model) if only else model))
    app = make_service(model_id=str(place), dtype="float32", provider="cpu")[1]
    texts = ["the cat sat", "a"]
    expected = np.stack([tiny.reference(tiny.ids_of(text)) @ DENSE for text in texts])
    raw = post(app, "/embed", {"inputs": texts, "normalize": False}).json
    np.testing.assert_allclose(raw, expected, atol=1e-5)
    found = post(app, "/embed", {"inputs": texts}).json
    np.testing.assert_allclose(found, list(map(tiny.unit, expected)), atol=1e-5)
    short = post(app, "/embed", {"inputs": texts, "dimensions": 7}).json
    np.testing.assert_allclose(short, [tiny.unit(one[:7]) for one in expected], atol=1e-5)
    information = request(app, "GET", "/info").json
    assert information["model_type"] == {"embedding": {"pooling": "graph"}}
    assert information["pooling_source"] == "sentence_embedding of the graph"
    reply = post(app, "/embed_all", {"inputs": "a"})
    assert reply.status == (424 if only else 200)
    if only:
        assert "ONNX graph yields no vectors of tokens" in reply.json["error"]
