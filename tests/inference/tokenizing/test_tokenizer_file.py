"""Tokenizer files that are none, or another model's."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from app.errors import StartupError
from app.inference.tokenizing.tokenization import Tokenization
from app.model.manifest import Manifest


def test_a_file_that_is_no_tokenizer_is_named(tmp_path: Path, tiny_model: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(StartupError, match=r"tokenizer\.json cannot be loaded"):
        Tokenization.load(tmp_path, Manifest.read(tiny_model))


def test_a_tokenizer_of_another_model_is_refused(tmp_path: Path, tiny_model: Path) -> None:
    shutil.copy(tiny_model / "tokenizer.json", tmp_path)
    smaller = replace(Manifest.read(tiny_model), vocabulary_size=5)
    with pytest.raises(StartupError, match=r"has \d+ tokens, the model only 5"):
        Tokenization.load(tmp_path, smaller)
