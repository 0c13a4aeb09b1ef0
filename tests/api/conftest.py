"""Fixtures: exported models of every kind, and applications over them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.types import ASGIApp

from app.api.http.service import Service

MakeKind = Callable[..., ASGIApp]


@pytest.fixture
def make_kind(
    folders: dict[str, Path], make_service: Callable[..., tuple[Service, ASGIApp]]
) -> MakeKind:
    """A factory of applications over the tiny model of a kind."""

    def make(kind: str, **settings: Any) -> ASGIApp:
        return make_service(model_id=str(folders[kind]), **settings)[1]

    return make
