"""Fixtures: applications over a model with known ranges, and over one without."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from starlette.types import ASGIApp

from app.api.http.service import Service
from app.model.parts import Ranges
from tools import tiny

RANGES = Ranges((1, 3, tiny.DIMENSIONS), (1.0, 0.9, 0.5))

MakeService = Callable[..., tuple[Service, ASGIApp]]
MakeRanged = Callable[[Ranges | None], ASGIApp]


@pytest.fixture
def make_ranged(make_service: MakeService, tmp_path: Path) -> MakeRanged:
    """A factory of applications over the tiny model with other ranges, or none."""

    def make(ranges: Ranges | None) -> ASGIApp:
        folder = tmp_path / "model"
        tiny.seal(folder, replace(tiny.build(folder), ranges=ranges))
        return make_service(model_id=str(folder))[1]

    return make


@pytest.fixture
def ranged(make_ranged: MakeRanged) -> ASGIApp:
    """An application over a model with RANGES."""
    return make_ranged(RANGES)
