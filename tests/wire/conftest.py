"""Fixtures of tests that bring their own options to a server."""

from pathlib import Path

import pytest

from tests.support.connections import START
from tools.process import Server


@pytest.fixture
def start(tiny_model: Path) -> START:
    """Starts servers."""

    def one(*arguments: str) -> Server:
        server = Server("--model-id", str(tiny_model), *arguments)
        server.wait_ready()
        return server

    return one
