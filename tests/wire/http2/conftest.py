"""Fixtures: servers that speak HTTP/2 and must log no error."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.held import serving
from tools.process import Server


@pytest.fixture(scope="module")
def server(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that must log no error, whatever it receives."""
    yield from serving(tiny_model, tmp_path_factory.mktemp("http2") / "log")


@pytest.fixture(scope="module")
def hasty_server(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The same with short timeouts, for the tests that wait for them."""
    log = tmp_path_factory.mktemp("hasty") / "log"
    yield from serving(tiny_model, log, "--client-timeout-seconds", "0.5")
