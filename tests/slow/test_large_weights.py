"""Weights of more than 2 GB, which no single ONNX file can hold, are exported, proved and served."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from app.model.manifest import PROBES_FILE, Manifest
from app.proof.probes import Probes
from tests.support.tiny_checkpoints import write_bert, write_json
from tools.process import ROOT, Server

pytestmark = pytest.mark.slow

ROWS, WIDTH = 131_200, 2048  # of each of two tables: words and positions cost nothing to compute


def write_large(folder: Path) -> None:
    """BERT of one layer with two tables of a gigabyte each."""
    import torch
    import transformers

    library: Any = transformers
    write_bert(folder)
    (folder / "model.safetensors").unlink()
    torch.manual_seed(5)
    config = library.BertConfig(
        vocab_size=ROWS,
        hidden_size=WIDTH,
        num_hidden_layers=1,
        num_attention_heads=16,
        intermediate_size=64,
        max_position_embeddings=ROWS,
    )
    library.BertModel(config, add_pooling_layer=False).save_pretrained(folder)
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": 32})


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The exported folder, with an int8 graph too; gone afterwards, since it is large."""
    place = tmp_path_factory.mktemp("large")
    write_large(place / "large-bert")
    child = subprocess.run(  # a module of ours
        [
            sys.executable, "-m", "export", str(place / "large-bert"), "--models-dir",
            str(place / "models"), "--dtype", "int8",
        ],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    shutil.rmtree(place / "large-bert")
    assert (child.returncode, child.stderr) == (0, "")
    yield place / "models/large-bert"
    shutil.rmtree(place)


def embed(server: Server, texts: list[str]) -> NDArray[np.float32]:
    return np.array(server.post("/embed", {"inputs": texts}).json, np.float32)


@pytest.mark.parametrize(("dtype", "least"), [("float32", 0.99999), ("int8", 0.95)])
def test_weights_over_two_gigabytes_are_served(large: Path, dtype: str, least: float) -> None:
    assert (large / "model.onnx.data").stat().st_size > 2**31
    manifest = Manifest.read(large)
    assert {one.compute_dtype for one in manifest.certificates} >= {"float32", "int8"}
    probes = Probes.read(large / PROBES_FILE).take(16)
    server = Server("--model-id", str(large), "--dtype", dtype, "--log-level", "error")
    server.wait_ready()
    asked = zip(probes.prompts, probes.texts, strict=True)
    found = embed(server, [f"{prompt}{text}" for prompt, text in asked])
    server.stop()
    expected = probes.vectors / np.linalg.norm(probes.vectors, axis=1, keepdims=True)
    cosines = np.einsum("nd,nd->n", expected, found)
    assert cosines.min() >= least
