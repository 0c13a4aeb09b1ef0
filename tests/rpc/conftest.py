"""Fixtures: scenarios with a client of the gRPC API."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.types import ASGIApp

from app.api.http.service import Service
from tests.support import rpc
from tests.support.rpc import Client

Scenario = Callable[[Client], Awaitable[Any]]
Play = Callable[..., Any]


@pytest.fixture
def play(folders: dict[str, Path], make_service: Callable[..., tuple[Service, ASGIApp]]) -> Play:
    """A function that plays a scenario over the tiny model of a kind, and returns its result."""

    def play(scenario: Scenario, kind: str = "embedding", **settings: Any) -> Any:
        service, _ = make_service(model_id=str(folders[kind]), **settings)
        return rpc.run(scenario, service)

    return play
