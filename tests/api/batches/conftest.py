"""Fixtures: an application with files and batches that are never computed."""

from collections.abc import Callable
from pathlib import Path

import pytest
from starlette.types import ASGIApp

from app.access.api_keys import from_flags
from app.api.http.service import Service

MakeService = Callable[..., tuple[Service, ASGIApp]]


@pytest.fixture
def keeping(make_service: MakeService, tmp_path: Path) -> ASGIApp:
    """An application that keeps files, without keys."""
    return make_service(batch_dir=tmp_path / "kept", batch_file_limit=100_000)[1]


@pytest.fixture
def keyed(make_service: MakeService, tmp_path: Path) -> ASGIApp:
    """An application that keeps files for ann, whose key is `a`, and bob, whose key is `b`."""
    return make_service(batch_dir=tmp_path / "kept", api_key=from_flags(["ann=a", "bob=b"]))[1]
