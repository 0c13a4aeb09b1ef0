"""Starts with a model of a Hub, and how tests request them."""

from pathlib import Path

import pytest

from app.download import preparation
from app.errors import StartupError
from app.model.manifest import Manifest
from app.options.settings import Settings
from tests.support.hub import COMMIT

MODEL = "org/small"
GRAPH = "onnx/model.onnx"
NEEDED = [
    "1_Pooling/config.json",
    "config.json",
    "config_sentence_transformers.json",
    "modules.json",
    "tokenizer.json",
    "tokenizer_config.json",
]


def cached(cache: Path, model: str = MODEL) -> list[str]:
    """The files of the model's only snapshot."""
    snapshot = cache / f"models--{model.replace('/', '--')}" / "snapshots" / COMMIT
    return sorted(str(p.relative_to(snapshot)) for p in snapshot.rglob("*") if p.is_file())


def settings_for(tmp_path: Path, **changes: object) -> Settings:
    defaults = {
        "model_id": MODEL,
        "models_dir": tmp_path / "models",
        "huggingface_hub_cache": tmp_path / "data",
        "cache_dir": tmp_path / "prepared",
    }
    return Settings(**{**defaults, **changes})  # type: ignore[arg-type]


def prepare(settings: Settings, environment: dict[str, str]) -> Manifest:
    """Return the manifest of the model as it would be loaded."""
    with preparation.prepared(settings, environment) as (_, place):
        return Manifest.read(place)


def fault(settings: Settings, environment: dict[str, str]) -> str:
    with pytest.raises(StartupError) as caught, preparation.prepared(settings, environment):
        raise AssertionError("there is a model")
    assert "\n" not in str(caught.value)
    return str(caught.value)
