"""Fixtures for tests that start servers with options of their own."""

from pathlib import Path

import pytest

from tests.support.connections import START
from tools.process import Server


@pytest.fixture
def start(tiny_model: Path) -> START:
    """A factory of servers."""

    def one(*arguments: str) -> Server:
        server = Server("--model-id", str(tiny_model), *arguments)
        server.wait_ready()
        return server

    return one
