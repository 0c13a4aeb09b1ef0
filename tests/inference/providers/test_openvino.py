"""OpenVINO for real: what it computes, in which precision, and what the service says of it."""

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

from app.model.lookup import repository
from app.model.manifest import Manifest
from app.model.names import Task
from export.source.default_model import DEFAULT_MODEL_ID
from tools import tiny
from tools.process import ROOT, Server, variables
from tools.texts import passages

TEXTS = [*passages(24, longest_words=150), "ok", "Où est la bibliothèque ?", "今天天气很好。"]


def prove(folder: Path, environment: dict[str, str], *flags: str) -> list[dict[str, Any]]:
    """The certificates that `python -m app.prove` prints."""
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
    exact, also_exact, lower = prove(default_model(), bfloat16)
    kinds = [f"{one['provider']} {one['compute_dtype']}" for one in (exact, also_exact, lower)]
    assert kinds == ["cpu float32", "openvino float32", "openvino bfloat16"]
    assert min(exact["worst_cosine"], also_exact["worst_cosine"]) >= 0.99999
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
    assert 0.9995 <= cosines.min() < 0.999999  # close, and visibly another precision
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
