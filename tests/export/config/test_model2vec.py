"""Model2Vec's configuration of a model, and which folders are in its layout."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from export.config.model2vec import Settings, is_there
from export.errors import ExportError
from tests.support.model2vec import NAMES, write


def test_every_recorded_model_is_in_the_layout(tmp_path: Path) -> None:
    assert all(is_there(write(tmp_path / name, name)) for name in NAMES)


@pytest.mark.parametrize("file", ["config.json", "tokenizer.json", "model.safetensors"])
def test_each_of_three_files_is_needed(tmp_path: Path, file: str) -> None:
    folder = write(tmp_path / "plain", "plain")
    (folder / "modules.json").unlink()
    assert is_there(folder)
    (folder / file).unlink()
    assert not is_there(folder)


@pytest.mark.parametrize("content", [b"", b"\xff" * 9, (9).to_bytes(8, "little") + b"[1, 2, 3]"])
def test_a_file_without_tensors_is_not_its_layout(tmp_path: Path, content: bytes) -> None:
    folder = write(tmp_path / "plain", "plain")
    (folder / "model.safetensors").write_bytes(content)
    assert not is_there(folder)


def test_sentence_transformers_layout_is_not_its_layout(tmp_path: Path) -> None:
    folder = write(tmp_path / "plain", "plain")
    save_file({"embedding.weight": np.zeros((2, 2), np.float32)}, folder / "model.safetensors")
    assert not is_there(folder)


def set_up(folder: Path, config: dict[str, Any], model: dict[str, Any], *added: Any) -> Path:
    tokens = [{"content": text, "id": place} for text, place in added]
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer.json").write_text(json.dumps({"model": model, "added_tokens": tokens}))
    return folder


@pytest.mark.parametrize(
    ("config", "length"),
    [({}, 512), ({"max_length": 7}, 7), ({"max_length": None}, None), ({"seq_length": 9}, 512)],
)
def test_a_model_has_512_tokens_unless_it_says_so(
    tmp_path: Path, config: dict[str, Any], length: int | None
) -> None:
    assert Settings.read(set_up(tmp_path, config, {})) == Settings(False, length, None)
    said = Settings.read(set_up(tmp_path, {**config, "normalize": True}, {}))
    assert said.normalize


@pytest.mark.parametrize(
    ("model", "added", "unknown"),
    [
        ({"unk_token": "[UNK]", "vocab": {"[UNK]": 3}}, [], 3),
        ({"unk_token": "[UNK]", "vocab": {}}, [("[UNK]", 5)], 5),
        ({"unk_token": None, "vocab": {"a": 0}}, [], None),
        ({"unk_id": 1, "vocab": [["<pad>", 0.0], ["<unk>", 0.0]]}, [], 1),
        ({"unk_id": None, "vocab": []}, [], None),
    ],
)
def test_the_unknown_token_is_the_tokenizer_s(
    tmp_path: Path, model: dict[str, Any], added: list[Any], unknown: int | None
) -> None:
    assert Settings.read(set_up(tmp_path, {}, model, *added)).unknown == unknown


def test_a_length_that_takes_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="max_length: 0 must be at least 1"):
        Settings.read(set_up(tmp_path, {"max_length": 0}, {}))
