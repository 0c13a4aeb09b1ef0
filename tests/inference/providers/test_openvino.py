"""OpenVINO for real: its answers, its precision, and the service's report of both."""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from app.inference.providers import machine
from app.model.lookup import repository
from app.model.manifest import Manifest
from app.model.names import Task
from export.source.default_model import DEFAULT_MODEL_ID
from tests.support import vector_graphs
from tools import tiny
from tools.process import ROOT, Server, variables
from tools.texts import passages

TEXTS = [*passages(24, longest_words=150), "ok", "Où est la bibliothèque ?", "今天天气很好。"]


def prove(folder: Path, environment: dict[str, str], *flags: str) -> list[dict[str, Any]]:
    """Return the certificates that `python -m app.prove` prints."""
    printed = subprocess.run(
        [sys.executable, "-m", "app.prove", str(folder), *flags],
        cwd=ROOT,
        env=variables(environment),
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    certificates: list[dict[str, Any]] = json.loads(printed)
    return certificates


def for_openvino(folder: Path, task: Task = "embedding") -> Path:
    """The tiny model, in a folder that lets OpenVINO run it."""
    manifest = tiny.build(folder, task)
    graph = replace(manifest.graphs[0], providers=("cpu", "openvino"))
    replace(manifest, graphs=(graph,)).write(folder)
    return folder


def default_model() -> Path:
    folder = repository.find(DEFAULT_MODEL_ID, None, ROOT / "models")
    assert folder is not None, "make test exports it"
    return folder


@contextmanager
def serving(environment: dict[str, str], *flags: str, model: str) -> Iterator[Server]:
    server = Server("--model-id", model, *flags, environment=environment)
    try:
        server.wait_ready()
        yield server
    finally:
        server.stop()


def ask(server: Server, path: str, body: Any = None) -> tuple[Any, dict[str, str]]:
    reply = server.get(path) if body is None else server.post(path, body)
    return reply.json, reply.headers


def embed(server: Server, texts: Sequence[str]) -> NDArray[np.float32]:
    return np.array(ask(server, "/embed", {"inputs": list(texts)})[0], np.float32)


def test_float32_on_openvino_is_exact(environment: dict[str, str], tmp_path: Path) -> None:
    folder = for_openvino(tmp_path)
    [certificate] = prove(folder, environment, "--provider", "openvino")
    assert (certificate["provider"], certificate["compute_dtype"]) == ("openvino", "float32")
    assert certificate["worst_cosine"] > 0.999999


@pytest.mark.parametrize("task", ["splade", "classifier", "reranker"])
def test_every_kind_of_model_runs_on_openvino(
    environment: dict[str, str], tmp_path: Path, task: Task
) -> None:
    folder = for_openvino(tmp_path, task)
    [certificate] = prove(folder, environment, "--provider", "openvino")
    assert certificate["largest_error"] < 1e-5


def test_a_proof_of_everything_tells_the_precisions_apart(bfloat16: dict[str, str]) -> None:
    found = [one for one in prove(default_model(), bfloat16) if one["compute_dtype"] != "int16"]
    kinds = [f"{one['provider']} {one['compute_dtype']} {one['graph']}" for one in found]
    assert kinds == [
        "cpu float32 model.cpu.onnx",
        "openvino float32 model.openvino.onnx",
        "openvino float32 model.onnx",
        "openvino bfloat16 model.openvino.onnx",
        "openvino bfloat16 model.onnx",
    ]
    apart = ["SNIPPETS_MODE=DISABLE"] if machine.multiplies_tiles() else []
    assert [one["settings"] for one in found] == [[], [], [], apart, []]
    assert min(one["worst_cosine"] for one in found[:3]) >= 0.99999
    for lower in found[3:]:
        assert 0.9995 <= lower["worst_cosine"] < 0.99999
        assert lower["first_percentile"] >= 0.9999
        assert lower["neighbour_overlap"] >= 0.97
        assert lower["batch_cosine"] >= 0.9999


def test_bfloat16_is_taken_by_itself_where_it_is_proved_close(bfloat16: dict[str, str]) -> None:
    with (
        serving(bfloat16, model=str(default_model())) as lower,
        serving(bfloat16, "--dtype", "float32", model=str(default_model())) as exact,
    ):
        info, _ = ask(lower, "/info")
        assert (info["model_dtype"], info["provider"]) == ("bfloat16", "openvino")
        _, headers = ask(lower, "/embed", {"inputs": "ok"})
        assert headers["x-compute-dtype"] == "bfloat16"
        assert headers["x-model-fingerprint"] == Manifest.read(default_model()).fingerprint
        _, headers = ask(exact, "/embed", {"inputs": "ok"})
        assert headers["x-compute-dtype"] == "float32"
        expected, found = embed(exact, TEXTS), embed(lower, TEXTS)
        alone = np.concatenate([embed(lower, [text]) for text in TEXTS])
    cosines = np.einsum("nd,nd->n", expected, found)
    assert 0.9995 <= cosines.min() < 0.999999  # close, yet visibly another precision
    assert np.einsum("nd,nd->n", found, alone).min() >= 0.9999


@pytest.mark.slow
def test_float32_served_by_openvino_is_exact_alone_and_in_batches(
    environment: dict[str, str],
) -> None:
    flags = ("--dtype", "float32")
    with (
        serving(environment, *flags, "--provider", "openvino", model=str(default_model())) as one,
        serving(environment, *flags, "--provider", "cpu", model=str(default_model())) as other,
    ):
        assert ask(one, "/info")[0]["provider"] == "openvino"
        one.wait_warm()
        lines = one.get("/metrics").text.splitlines()
        assert {"te_shapes_learned 68", "te_shapes_wanted 68"} <= set(lines)
        together, expected = embed(one, TEXTS), embed(other, TEXTS)
        alone = np.concatenate([embed(one, [text]) for text in TEXTS[::3]])
    np.testing.assert_allclose(together, expected, atol=1e-5)
    np.testing.assert_allclose(alone, expected[::3], atol=1e-5)


def test_scores_stay_in_float32(bfloat16: dict[str, str], tmp_path: Path) -> None:
    folder = for_openvino(tmp_path, "reranker")
    with serving(bfloat16, model=str(folder)) as server:
        info, _ = ask(server, "/info")
        assert (info["model_dtype"], info["provider"]) == ("float32", "cpu")
        assert info["provider_reason"].startswith("scores are computed in float32")


def test_a_model_that_bfloat16_harms_is_served_in_float32(
    bfloat16: dict[str, str], tmp_path: Path
) -> None:
    folder = for_openvino(tmp_path)
    manifest = Manifest.read(folder)
    [measured] = prove(folder, bfloat16, "--provider", "openvino", "--dtype", "bfloat16")
    certificate = {**measured, "probes": 500, "neighbour_overlap": 0.9}
    document = json.loads((folder / "manifest.json").read_text())
    del document["digest"]
    (folder / "manifest.json").write_text(json.dumps({**document, "certificates": [certificate]}))
    assert Manifest.read(folder).graphs == manifest.graphs
    with serving(bfloat16, model=str(folder)) as server:
        info, _ = ask(server, "/info")
        assert (info["model_dtype"], info["provider"]) == ("float32", "cpu")
        assert "overlap of nearest neighbours is 0.90000" in info["provider_reason"]


@pytest.mark.parametrize("pooling", [(), ("--pooling", "cls")])
def test_its_own_graph_yields_vectors_and_the_other_one_rare_outputs(
    environment: dict[str, str], tmp_path: Path, pooling: tuple[str, ...]
) -> None:
    vector_graphs.build(tmp_path, "openvino")
    flags = ("--provider", "openvino", "--dtype", "float32", *pooling)
    with serving(environment, *flags, model=str(tmp_path)) as server:
        tokens = tiny.token_vectors(tiny.ids_of("the cat"))
        found, _ = ask(server, "/embed", {"inputs": "the cat", "normalize": False})
        np.testing.assert_allclose(found[0], tokens[0] if pooling else tokens.mean(0), atol=1e-5)
        found, _ = ask(server, "/embed_all", {"inputs": ["the cat", "a"]})
        np.testing.assert_allclose(found[0], tokens, atol=1e-5)
        info, _ = ask(server, "/info")
        assert info["provider"] == "openvino"
        assert info["graph"] == ("model.onnx" if pooling else vector_graphs.FILE)


_WITH_TILES = """
import sys
from app import prove
from app.inference.providers import machine, openvino

machine.multiplies_tiles = lambda: True
openvino.APART = (sys.argv[1], "DISABLE")
sys.exit(prove.main([*sys.argv[2:], "--provider", "openvino", "--dtype", "bfloat16"]))
"""


@pytest.mark.parametrize(
    ("longest", "name", "settings"),
    [
        (512, "SNIPPETS_MODE", ["SNIPPETS_MODE=DISABLE"]),
        (513, "SNIPPETS_MODE", []),  # scores would take too much memory
        (512, "NO_SUCH_PROPERTY", []),  # a version of the plug-in that dropped it
    ],
)
def test_attention_is_computed_apart_for_short_texts_if_the_plug_in_knows_how(
    bfloat16: dict[str, str], tmp_path: Path, longest: int, name: str, settings: list[str]
) -> None:
    manifest = vector_graphs.build(tmp_path, "openvino")
    replace(manifest, max_input_length=longest).write(tmp_path)
    ran = subprocess.run(
        [sys.executable, "-c", _WITH_TILES, name, str(tmp_path)],
        cwd=ROOT,
        env=variables(bfloat16),
        capture_output=True,
        text=True,
        check=True,
    )
    own, whole = json.loads(ran.stdout)
    assert (own["graph"], own["settings"]) == (vector_graphs.FILE, settings)
    assert (whole["graph"], whole["settings"]) == ("model.onnx", [])
    assert min(own["worst_cosine"], whole["worst_cosine"]) > 0.999
