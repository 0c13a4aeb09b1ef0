"""Fingerprint: equal for one vector space, and changed by anything that changes it."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.model.parts import Padding
from export.checkpoint.read import Checkpoint
from export.config.layers import Dense, Head, Normalize
from export.config.splade import Splade
from export.errors import ExportError
from export.folder.fingerprint import fingerprint
from export.weights.weight_files import of_encoder

CHECKPOINT = Checkpoint(
    folder=Path(),
    tokenizer=Path("tokenizer.json"),
    architecture="BertModel",
    model_type="bert",
    task="embedding",
    head=Head(("mean",)),
    encoder_width=8,
    dimensions=8,
    max_input_length=16,
    vocabulary_size=10,
    places=16,
    padding=Padding(0, 0, "right"),
    truncation_side="right",
    normalize=True,
    similarity="cosine",
    prompts={"query": "q: ", "document": "d: "},
    default_prompt_name=None,
)


def write(folder: Path, weights: bytes = b"weights", tokenizer: bytes = b"{}") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "model.safetensors").write_bytes(weights)
    (folder / "tokenizer.json").write_bytes(tokenizer)
    return folder


def of(folder: Path, checkpoint: Checkpoint = CHECKPOINT) -> str:
    return fingerprint(of_encoder(folder), folder / "tokenizer.json", checkpoint)


def test_same_files_elsewhere_have_the_same_fingerprint(tmp_path: Path) -> None:
    first, second = write(tmp_path / "a"), write(tmp_path / "b")
    reordered = replace(CHECKPOINT, prompts={"document": "d: ", "query": "q: "})
    assert of(first) == of(second, reordered)


@pytest.mark.parametrize(
    "change",
    [
        {"head": Head(("cls",))},
        {"head": Head(("mean", "cls"))},
        {"head": Head(("mean",), (Normalize(),))},
        {"head": Head(("mean",), cut=4)},
        {"head": Head(("mean",), include_prompt=False)},
        {"lower_case": True},
        {"max_input_length": 15},
        {"prompts": {"query": "Q: ", "document": "d: "}},
        {"default_prompt_name": "query"},
        {"head": None, "task": "splade", "splade": Splade()},
        {"head": None, "task": "splade", "splade": Splade(normalize=True)},
        {"head": None, "task": "classifier", "labels": ("a", "b")},
        {"activation": "none"},
    ],
)
def test_each_part_of_the_vector_space_counts(tmp_path: Path, change: dict[str, Any]) -> None:
    folder = write(tmp_path / "a")
    assert of(folder, replace(CHECKPOINT, **change)) != of(folder)


def test_an_activation_counts_where_it_is_not_the_usual_one(tmp_path: Path) -> None:
    folder = write(tmp_path / "a")
    labelled = replace(CHECKPOINT, head=None, task="classifier", labels=("a", "b"))
    usual = of(folder, labelled)  # also of a folder from before it was recorded
    assert of(folder, replace(labelled, activation="softmax")) == usual
    others = {of(folder, replace(labelled, activation=one)) for one in ("sigmoid", "none")}
    assert len(others | {usual}) == 3


def test_a_layer_counts_with_its_weights_and_its_activation(tmp_path: Path) -> None:
    folder = write(tmp_path / "a")
    dense = Dense(tmp_path / "2_Dense", 8, 4)
    layered = replace(CHECKPOINT, head=Head(("mean",), (dense,)))
    other = replace(CHECKPOINT, head=Head(("mean",), (replace(dense, activation="ReLU"),)))
    write(tmp_path / "2_Dense", weights=b"one")
    found = {of(folder), of(folder, layered), of(folder, other)}
    write(tmp_path / "2_Dense", weights=b"two")
    assert len(found | {of(folder, layered)}) == 4


def test_part_of_the_weights_outside_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"x")
    folder = tmp_path / "model"
    folder.mkdir()
    index = {"weight_map": {"a": "../other"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ExportError, match=r"'\.\./other' is not the name of a file beside it"):
        of_encoder(folder)


@pytest.mark.parametrize("files", [{"weights": b"other"}, {"tokenizer": b"{ }"}])
def test_each_file_counts(tmp_path: Path, files: dict[str, bytes]) -> None:
    plain, changed = write(tmp_path / "a"), write(tmp_path / "b", **files)
    assert of(plain) != of(changed)


def test_code_that_a_model_brings_counts(tmp_path: Path) -> None:
    folder = write(tmp_path / "a")
    files = of_encoder(folder), folder / "tokenizer.json", CHECKPOINT
    assert len({fingerprint(*files, code) for code in ((), ("one",), ("two",))}) == 3
    assert fingerprint(*files, ()) == of(folder)


def test_safetensors_come_before_pickles(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "pytorch_model.bin").touch()
    assert [path.name for path in of_encoder(tmp_path)] == ["model.safetensors"]


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_parts_are_those_that_the_index_names(tmp_path: Path, name: str) -> None:
    parts = {"layer.1": "part-2", "layer.0": "part-1", "embeddings": "part-1"}
    (tmp_path / f"{name}.index.json").write_text(json.dumps({"weight_map": parts}))
    for part in ("part-1", "part-2", "part-3"):
        (tmp_path / part).touch()
    assert [path.name for path in of_encoder(tmp_path)] == ["part-1", "part-2"]
    (tmp_path / "part-2").unlink()
    with pytest.raises(ExportError, match="part-2 is missing: fetch the model again"):
        of_encoder(tmp_path)


def test_folder_without_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"no weights: model\.safetensors or"):
        of_encoder(tmp_path)
