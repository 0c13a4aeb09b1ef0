"""The files that hold a checkpoint's weights."""

import json
from pathlib import Path

import pytest

from export.errors import ExportError
from export.weights import weight_files


def put(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).touch()
    return folder


def put_index(folder: Path, *parts: str) -> Path:
    named = {str(place): part for place, part in enumerate(parts)}
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": named}))
    return folder


def test_safetensors_come_first_whole_or_in_parts(tmp_path: Path) -> None:
    put(tmp_path, "pytorch_model.bin")
    assert weight_files.of_encoder(tmp_path) == [tmp_path / "pytorch_model.bin"]
    put_index(put(tmp_path, "b.safetensors", "a.safetensors"), "b.safetensors", "a.safetensors")
    assert [path.name for path in weight_files.of_encoder(tmp_path)] == [
        "a.safetensors", "b.safetensors",
    ]  # fmt: skip
    put(tmp_path, "model.safetensors")
    assert weight_files.of_encoder(tmp_path) == [tmp_path / "model.safetensors"]


def test_a_part_that_is_missing_or_elsewhere_is_named(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"a\.safetensors is missing: fetch the model again"):
        weight_files.of_encoder(put_index(tmp_path, "a.safetensors"))
    with pytest.raises(ExportError, match=r"'../a' is not the name of a file beside it"):
        weight_files.of_encoder(put_index(tmp_path, "../a"))


def test_a_folder_without_weights_is_refused(tmp_path: Path) -> None:
    for find in (weight_files.of_encoder, weight_files.of_layer):
        with pytest.raises(ExportError, match=r"or pytorch_model\.bin is missing"):
            find(tmp_path)


def test_a_layer_s_weights_lie_in_its_folder_or_are_a_file(tmp_path: Path) -> None:
    put(tmp_path, "sparse.pt", "pytorch_model.bin")
    assert weight_files.of_layer(tmp_path) == tmp_path / "pytorch_model.bin"
    assert weight_files.of_layer(tmp_path / "sparse.pt") == tmp_path / "sparse.pt"
