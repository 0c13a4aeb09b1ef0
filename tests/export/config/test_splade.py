"""SPLADE models of every kind: exported, served, and equal to SparseEncoder."""

import asyncio
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from app.application import build, create_app
from app.options.settings import Settings
from export import pipeline
from export.checkpoint import read
from export.cli import Request
from export.config.splade import Splade
from export.errors import ExportError
from tests.support.configs import Write
from tests.support.tiny_checkpoints import write_json
from tools.asgi import post
from tools.models import checkpoints
from tools.models.tiny_models import TINY_MODELS

TEXTS = ["ok", "What is the capital of France?", "A man is playing a guitar. " * 30]
NORMALIZE = {
    "idx": 2,
    "name": "2",
    "path": "2_Normalize",
    "type": "sentence_transformers.sentence_transformer.modules.normalize.Normalize",
}


def write(folder: Path, pooling: dict[str, Any], *, normalize: bool) -> Path:
    """Write a tiny SPLADE model with this pooling."""
    [model] = [one for one in TINY_MODELS if one.name == "bert-splade"]
    checkpoints.write(model, folder)
    write_json(folder / "1_SpladePooling/config.json", pooling)
    if normalize:
        modules = json.loads((folder / "modules.json").read_text())
        write_json(folder / "modules.json", [*modules, NORMALIZE])
    return folder


def library_s(folder: Path) -> NDArray[np.float32]:
    """Return the texts' vectors by the library's public calls."""
    from sentence_transformers import SparseEncoder

    encoder = SparseEncoder(str(folder), device="cpu", local_files_only=True)
    found: NDArray[np.float32] = encoder.encode(TEXTS, convert_to_sparse_tensor=False).numpy()
    return found


def served(folder: Path, width: int) -> NDArray[np.float32]:
    """Return the texts' vectors by `/embed_sparse`."""
    settings = Settings(model_id=str(folder), provider="cpu", dtype="float32")
    service = build(settings, folder)
    reply = post(create_app(service, settings), "/embed_sparse", {"inputs": TEXTS})
    asyncio.run(service.model.close())
    assert reply.status == 200, reply.text
    vectors = np.zeros((len(TEXTS), width), np.float32)
    for vector, entries in zip(vectors, reply.json, strict=True):
        for entry in entries:
            vector[entry["index"]] = entry["value"]
    return vectors


@pytest.mark.slow
@pytest.mark.parametrize(
    ("pooling", "normalize"),
    [
        ({"pooling_strategy": "sum", "activation_function": "log1p_relu", "chunk_size": 3}, False),
        *(
            pytest.param(pooling, normalize, marks=pytest.mark.slow)
            for pooling, normalize in (
                ({"activation_function": "log1p_relu"}, False),
                ({"pooling_strategy": "sum"}, False),
                ({"pooling_strategy": "max", "chunk_size": 5}, True),
            )
        ),
    ],
)
def test_each_splade_pooling_is_served_as_sparse_encoder_has_it(
    tmp_path: Path, pooling: dict[str, Any], normalize: bool
) -> None:
    checkpoint = write(tmp_path / "splade", pooling, normalize=normalize)
    folder = pipeline.export(Request(str(checkpoint), models_dir=tmp_path / "models"))
    expected = library_s(checkpoint)
    np.testing.assert_allclose(served(folder, expected.shape[1]), expected, rtol=1e-5, atol=1e-4)


SPLADE_MODULES = [
    {"type": "sentence_transformers.sparse_encoder.models.MLMTransformer", "path": ""},
    {
        "type": "sentence_transformers.sparse_encoder.models.SpladePooling",
        "path": "1_SpladePooling",
    },
]
MASKED = {"architectures": ["BertForMaskedLM"]}


def write_splade(write: Write, pooling: dict[str, Any]) -> Path:
    folder = write(MASKED, modules=SPLADE_MODULES)
    (folder / "1_SpladePooling").mkdir()
    (folder / "1_SpladePooling/config.json").write_text(json.dumps(pooling))
    return folder


def test_a_splade_model_is_as_wide_as_its_vocabulary(write: Write) -> None:
    found = read.read(write_splade(write, {"pooling_strategy": "max"}))
    assert (found.task, found.pooling, found.dimensions) == ("splade", None, 100)


def test_a_masked_language_model_becomes_a_splade_model_on_request(write: Write) -> None:
    assert read.read(write(MASKED), "splade").task == "splade"
    with pytest.raises(ExportError, match="BertModel is not a ForMaskedLM model"):
        read.read(write(), "splade")


@pytest.mark.parametrize(
    ("pooling", "reason"),
    [
        ({"pooling_strategy": "mean"}, "config.json: pooling_strategy mean is not max or sum"),
        (
            {"activation_function": "gelu"},
            "config.json: activation_function gelu is not relu or log1p_relu",
        ),
    ],
)
def test_another_splade_pooling_is_refused(
    write: Write, pooling: dict[str, str], reason: str
) -> None:
    with pytest.raises(ExportError, match=reason):
        read.read(write_splade(write, pooling))


@pytest.mark.parametrize(
    ("pooling", "splade"),
    [
        ({}, Splade("max", "relu")),
        ({"pooling_strategy": None, "activation_function": None}, Splade("max", "relu")),
        ({"pooling_strategy": "sum"}, Splade("sum", "relu")),
        ({"activation_function": "log1p_relu"}, Splade("max", "log1p_relu")),
        # Options that only bound memory, or repeat what the logits imply.
        ({"chunk_size": 8, "embedding_dimension": 7}, Splade("max", "relu")),
        ({"word_embedding_dimension": 7}, Splade("max", "relu")),
    ],
)
def test_a_splade_pooling_is_read(write: Write, pooling: dict[str, Any], splade: Splade) -> None:
    assert read.read(write_splade(write, pooling)).splade == splade


def test_a_normalize_may_stand_behind_a_splade_pooling(write: Write) -> None:
    folder = write_splade(write, {})
    normalize = {"type": "sentence_transformers.models.Normalize", "path": "2_Normalize"}
    (folder / "modules.json").write_text(json.dumps([*SPLADE_MODULES, normalize]))
    found = read.read(folder)
    assert (found.splade, found.normalize) == (Splade(normalize=True), False)


@pytest.mark.parametrize(
    "kinds", [("Pooling", "SparseAutoEncoder"), ("SpladePooling", "SparseAutoEncoder")]
)
def test_a_sparse_autoencoder_is_refused_by_name(write: Write, kinds: tuple[str, str]) -> None:
    modules = [
        {"type": f"sentence_transformers.sparse_encoder.modules.{kind}", "path": kind}
        for kind in ("Transformer", *kinds)
    ]
    with pytest.raises(ExportError, match=r"modules\.SparseAutoEncoder is not supported"):
        read.read(write(MASKED, modules=[{**modules[0], "path": ""}, *modules[1:]]))
