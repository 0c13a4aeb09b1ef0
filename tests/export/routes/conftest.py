"""Models with routes, made and exported once for all tests."""

from collections.abc import Callable
from pathlib import Path

import pytest

from export import pipeline
from export.cli import Request
from tools.models.tiny_routers import ROUTERS


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Path, Path]]:
    """A factory of tiny models: a checkpoint and an export of each, made once."""
    root = tmp_path_factory.mktemp("routed")
    made: dict[str, tuple[Path, Path]] = {}

    def model(name: str) -> tuple[Path, Path]:
        if name not in made:
            checkpoint = ROUTERS[name](root / name)
            folder = pipeline.export(Request(str(checkpoint), models_dir=root / "models"))
            made[name] = checkpoint, folder
        return made[name]

    return model
