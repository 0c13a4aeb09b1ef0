"""The tokenization of the tiny model."""

from pathlib import Path

import pytest

from app.inference.tokenizing.slice_scheduler import SliceScheduler
from app.inference.tokenizing.tokenization import Tokenization
from app.model.manifest import Manifest


@pytest.fixture(scope="module")
def tokenization(tiny_model: Path) -> Tokenization:
    return Tokenization.load(tiny_model, Manifest.read(tiny_model), SliceScheduler(2, "tokenize"))
