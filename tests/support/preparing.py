"""Snapshots that hold ONNX, and how tests request them."""

from pathlib import Path
from typing import Any

import pytest

from app.download import preparation
from app.errors import StartupError
from app.options.settings import Settings
from tools import tiny
from tools.process import Server

MODEL = "tests/small"
EXACT = ("--dtype", "float32")
OFFLINE = {"HF_HUB_OFFLINE": "1"}
BY_NAME = "name one with --onnx-file (ONNX_FILE)"


def settings_for(tmp_path: Path, **changes: Any) -> Settings:
    defaults = {
        "model_id": MODEL,
        "models_dir": tmp_path / "models",
        "huggingface_hub_cache": tmp_path / "data",
        "cache_dir": tmp_path / "prepared",
    }
    return Settings(**{**defaults, **changes})


def prepare(settings: Settings) -> Path:
    """Return the folder that the model would be loaded from."""
    with preparation.prepared(settings, OFFLINE) as (_, folder):
        return folder


def served(server: Server) -> list[list[float]]:
    vectors: list[list[float]] = server.post("/embed", {"inputs": ["the cat", "hello world"]}).json
    return vectors


def expected() -> list[list[float]]:
    texts = ("the cat", "hello world")
    return [tiny.unit(tiny.reference(tiny.ids_of(text))).tolist() for text in texts]


def fault(settings: Settings, environment: dict[str, str] | None = None) -> str:
    with (
        pytest.raises(StartupError) as caught,
        preparation.prepared(settings, OFFLINE | (environment or {})),
    ):
        raise AssertionError("there is a model")
    assert "\n" not in str(caught.value)
    return str(caught.value)
