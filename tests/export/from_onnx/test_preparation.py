"""Layers behind an ONNX graph, as LaBSE has: their weights are read and grafted without torch."""

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
from export.errors import ExportError
from export.from_onnx import preparation
from export.from_onnx.preparation import Preparation
from export.weights import safetensors_file
from tests.support.snapshot import BIAS, DENSE, with_dense, write_folder
from tools import tiny
from tools.asgi import post

SHAPES: dict[str, tuple[int | None, ...]] = {
    "linear.weight": DENSE.shape,
    "linear.bias": BIAS.shape,
}
LINEAR = {"linear.weight": torch.from_numpy(DENSE), "linear.bias": torch.from_numpy(BIAS)}


def prepare(folder: Path) -> Path:
    return preparation.prepare(Preparation(folder, folder / "models", "m", "m"))


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


def test_other_weights_are_another_vector_space_and_prepared_anew(tmp_path: Path) -> None:
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


@pytest.mark.parametrize("kind", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_tensors_are_read_as_torch_has_them(tmp_path: Path, kind: torch.dtype) -> None:
    stored = {name: value.to(kind) for name, value in LINEAR.items()}
    save_file(stored, tmp_path / "model.safetensors")
    found = safetensors_file.read(tmp_path / "model.safetensors", SHAPES)
    for name, value in stored.items():
        assert found[name].dtype == np.float32
        np.testing.assert_array_equal(found[name], value.to(torch.float32).numpy())


def file_with(header: object, values: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + values


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is damaged"),
        (b"\xff" * 8, "is damaged"),
        ((99).to_bytes(8, "little") + b"{}", "is damaged"),
        (file_with(b"{"), "is damaged"),
        (file_with([]), "holds nothing instead of x"),
        (file_with({"y": {}}), "holds y instead of x"),
        (file_with({"x": {}}), "x is damaged"),
        (file_with(b"[" * 100_000), "is damaged"),
        (
            file_with({"x": {"dtype": "F32", "shape": [2.0], "data_offsets": [0, 8]}}, b"12345678"),
            "x is damaged",
        ),
        (
            file_with({"x": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}, b"1234"),
            "x is damaged",
        ),
        (
            file_with({"x": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}, b"1234"),
            "x is damaged",
        ),
        (
            file_with({"x": {"dtype": "F32", "shape": [2], "data_offsets": [-8, 0]}}, b"12345678"),
            "x is damaged",
        ),
        (
            file_with({"x": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, b"1234"),
            r"x has the shape \(1,\), its config.json says \(2,\)",
        ),
        (
            file_with({"x": {"dtype": "I8", "shape": [2], "data_offsets": [0, 2]}}, b"12"),
            "x is of type I8, only F64, F32, F16, BF16 are read",
        ),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(ExportError, match=f"model.safetensors:? {said}"):
        safetensors_file.read(path, {"x": (2,)})
