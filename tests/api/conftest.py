"""Fixtures: exported models of every kind, and applications over them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest
from starlette.types import ASGIApp

from app.api.http.service import Service
from app.model.names import Task
from tools import tiny

MakeKind = Callable[..., ASGIApp]


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """One exported model of each kind; not to be written to."""
    root = tmp_path_factory.mktemp("kinds")
    for task in get_args(Task):
        tiny.build(root / task, task)
    tiny.build(root / "whole", whole=True)  # dense, sparse and token vectors at once
    return {path.name: path for path in root.iterdir()}


@pytest.fixture
def make_kind(
    folders: dict[str, Path], make_service: Callable[..., tuple[Service, ASGIApp]]
) -> MakeKind:
    """Builds an application over the tiny model of a kind."""

    def make(kind: str, **settings: Any) -> ASGIApp:
        return make_service(model_id=str(folders[kind]), **settings)[1]

    return make
