"""Layers behind an ONNX graph, as in LaBSE: weights are read and grafted without torch."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from starlette.types import ASGIApp

from app.api.http.service import Service
from app.model.lookup import hub_cache
from app.model.manifest import Manifest
from export import pipeline
from export.errors import ExportError
from export.from_onnx.preparation import Preparation
from tests.support.snapshot import BIAS, DENSE, with_dense, write_folder
from tools import tiny
from tools.asgi import post

LINEAR = {"linear.weight": torch.from_numpy(DENSE), "linear.bias": torch.from_numpy(BIAS)}


def prepare(folder: Path) -> Path:
    return pipeline.prepare(Preparation(folder, folder / "models", "m", "m"))


def expected(text: str) -> Any:
    return np.tanh(DENSE @ tiny.reference(tiny.ids_of(text)) + BIAS)


def test_a_dense_layer_is_served(
    tmp_path: Path, make_service: Callable[..., tuple[Service, ASGIApp]]
) -> None:
    place = prepare(with_dense(tmp_path / "m"))
    manifest = Manifest.read(place)
    assert (manifest.pooling, manifest.dimensions) == ("mean", len(BIAS))
    app = make_service(model_id=str(place), dtype="float32", provider="cpu")[1]
    texts = ["the cat sat on the mat", "a"]
    found = post(app, "/embed", {"inputs": texts, "normalize": False}).json
    np.testing.assert_allclose(found, list(map(expected, texts)), atol=1e-5)


def test_several_poolings_and_truncate_dim_are_served(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "m")
    (folder / "1_Pooling/config.json").write_text(json.dumps({"pooling_mode": ["mean", "max"]}))
    settings = json.dumps({"prompts": {}, "truncate_dim": 20})
    (folder / "config_sentence_transformers.json").write_text(settings)
    manifest = Manifest.read(prepare(folder))
    assert (manifest.pooling, manifest.dimensions) == ("mean+max", 20)


def test_other_weights_are_another_vector_space_and_prepared_again(tmp_path: Path) -> None:
    folder = with_dense(tmp_path / "m")
    first = Manifest.read(prepare(folder)).fingerprint
    graph = folder / "onnx/model.onnx"
    digest = hub_cache.digest(folder, graph)
    others = LINEAR | {"linear.bias": torch.ones(len(BIAS))}
    save_file(others, folder / "2_Dense/model.safetensors")
    assert hub_cache.digest(folder, graph) != digest
    (folder / "models").rename(tmp_path / "before")
    assert Manifest.read(prepare(folder)).fingerprint != first


def test_a_pickle_is_refused_with_the_remedy(tmp_path: Path) -> None:
    folder = with_dense(tmp_path / "m")
    (folder / "2_Dense/model.safetensors").rename(folder / "2_Dense/pytorch_model.bin")
    with pytest.raises(ExportError, match=r"2_Dense/pytorch_model\.bin is a pickle, which only"):
        prepare(folder)
    (folder / "2_Dense/pytorch_model.bin").unlink()
    with pytest.raises(ExportError, match="2_Dense has no weights: "):
        prepare(folder)
