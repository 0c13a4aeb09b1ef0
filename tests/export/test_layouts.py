"""Popular models in their authors' own layout: exported and served by name."""

import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from sentence_transformers import SentenceTransformer

from app.model.manifest import Manifest
from tests.support import hub as hubs
from tests.support.hub import COMMIT, Hub
from tests.support.layouts import LAYOUTS
from tools.process import Server

pytestmark = pytest.mark.slow

library: Any = transformers
Start = Callable[..., subprocess.Popen[str]]

TEXTS = [
    "What is the capital of France?",
    "ok",
    "A man is PLAYING the guitar in the rain, again and again",
    "Füße, 你好, naïve – 42!",
    "hello world " * 90,  # three of them take longer together
]
# The files that each export fetches beside config.json, tokenizer.json and the like.
WEIGHTS = {"BAAI/bge-m3": {"pytorch_model.bin", "sparse_linear.pt", "colbert_linear.pt"}}
LIMITS = {"BAAI/bge-m3": 8192, "sentence-transformers/all-MiniLM-L6-v2": 256}


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """A Hub that holds all of them."""
    root = tmp_path_factory.mktemp("layouts")
    for name, write in LAYOUTS.items():
        write(root / name)
    with hubs.serve({name: root / name for name in LAYOUTS}) as server:
        yield server


def online(hub: Hub, home: Path) -> Mapping[str, str]:
    return {"HF_HUB_OFFLINE": "0", "HF_ENDPOINT": hub.url, "HF_HOME": str(home)}


@contextmanager
def served(*arguments: str, environment: Mapping[str, str] | None = None) -> Iterator[Server]:
    server = Server(*arguments, "--dtype", "float32", environment=environment)
    try:
        server.wait_ready()  # one of them proves itself over 8,192 tokens first
        yield server
    finally:
        server.stop()


def ask(server: Server, path: str, body: Any) -> Any:
    reply = server.post(path, body)
    assert reply.status == 200, reply.text
    return reply.json


def fetched(home: Path, name: str) -> set[str]:
    snapshot = home / "hub" / f"models--{name.replace('/', '--')}" / "snapshots" / COMMIT
    return {str(path.relative_to(snapshot)) for path in snapshot.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", LAYOUTS)
def test_exported_and_served_by_name(
    hub: Hub, start_export: Start, tmp_path: Path, name: str
) -> None:
    home, models = tmp_path / "home", tmp_path / "models"
    # Without a revision the weights of one model come from a package, where that is installed.
    place = ("--revision", "main", "--models-dir", str(models))
    child = start_export(name, *place, **online(hub, home))
    output, errors = child.communicate(timeout=300)
    assert child.returncode == 0, output + errors
    assert "warning" not in output + errors

    files = fetched(home, name)
    weights = {one for one in files if one.endswith((".bin", ".pt", ".safetensors", ".onnx"))}
    assert weights == WEIGHTS.get(name, {"model.safetensors"})
    manifest = Manifest.read(models / f"{name.replace('/', '--')}@main")
    assert manifest.max_input_length == LIMITS.get(name, 512)
    assert (manifest.normalize, manifest.similarity) == (True, "cosine")

    source = hub.repositories[name]
    expected = SentenceTransformer(str(source), device="cpu").encode(TEXTS)
    with served("--model-id", name, *place) as server:
        found = ask(server, "/embed", {"inputs": TEXTS})
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
        answer = ask(server, "/v1/embeddings", {"input": TEXTS})
        openai = [one["embedding"] for one in answer["data"]]
        np.testing.assert_allclose(openai, expected, rtol=0, atol=1e-5)
        if name == "BAAI/bge-m3":
            equals_flag_embedding(server, source)


def equals_flag_embedding(server: Server, source: Path) -> None:
    """Compare lexical weights and token vectors with plain PyTorch, one text at a time."""
    tokenizer = library.AutoTokenizer.from_pretrained(source)
    model = library.AutoModel.from_pretrained(source).eval()
    sparse, vectors = (load(source / f"{name}_linear.pt") for name in ("sparse", "colbert"))
    unused = {getattr(tokenizer, f"{role}_token_id") for role in ("cls", "eos", "pad", "unk")}
    answers = zip(
        TEXTS,
        ask(server, "/embed_sparse", {"inputs": TEXTS}),
        ask(server, "/embed_all", {"inputs": TEXTS}),
        strict=True,
    )
    for text, weights, rows in answers:
        inputs = tokenizer(text, truncation=True, max_length=8192, return_tensors="pt")
        with torch.inference_mode():
            hidden = model(**inputs).last_hidden_state[0]
            token_weights = torch.relu(sparse(hidden))[:, 0].tolist()
            expected_rows = torch.nn.functional.normalize(vectors(hidden[1:]), dim=-1)
        expected: dict[int, float] = {}
        for token, weight in zip(inputs["input_ids"][0].tolist(), token_weights, strict=True):
            if token not in unused and weight > 0:
                expected[token] = max(weight, expected.get(token, 0))
        found = {one["index"]: one["value"] for one in weights}
        assert found == pytest.approx(expected, abs=1e-4)
        np.testing.assert_allclose(rows, expected_rows, rtol=0, atol=1e-4)
    assert expected  # of the longest text


def load(path: Path) -> torch.nn.Linear:
    state = torch.load(path, weights_only=True)
    linear = torch.nn.Linear(*reversed(state["weight"].shape))
    linear.load_state_dict(state)
    return linear


@pytest.mark.parametrize("name", ["BAAI/bge-small-en-v1.5", "BAAI/bge-m3"])
def test_served_by_name_from_the_graph_in_the_repository(
    hub: Hub, tmp_path: Path, name: str
) -> None:
    home = tmp_path / "home"
    source = hub.repositories[name]
    expected = SentenceTransformer(str(source), device="cpu").encode(TEXTS)
    places = ["--huggingface-hub-cache", str(home / "hub"), "--cache-dir", str(tmp_path / "c")]
    with served("--model-id", name, *places, environment=online(hub, home)) as server:
        found = ask(server, "/embed", {"inputs": TEXTS})
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
        assert told_apart(server, name)
    assert "onnx/model.onnx" in fetched(home, name)
    assert not any(one.endswith((".bin", ".safetensors")) for one in fetched(home, name))
    with served("--model-id", name, *places, environment=online(hub, home)) as server:
        assert told_apart(server, name)  # though it was prepared before


def told_apart(server: Server, name: str) -> bool:
    """Return whether only a model with more than dense vectors is said to lack the others."""
    info = server.get("/info").json
    assert info["vectors"] == ["dense"]
    server.signal()
    hint = "the model also gives sparse and multi_vector vectors, which its ONNX graph lacks"
    whole = name != "BAAI/bge-m3"
    assert (hint in server.output()) != whole
    return bool(info["vectors_left_out"] == ([] if whole else ["sparse", "multi_vector"]))
