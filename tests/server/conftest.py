"""Servers that fail on demand."""

from pathlib import Path

import pytest

from tests.support.failing import IMPATIENT, START
from tools.process import Server


@pytest.fixture
def start(tiny_model: Path) -> START:
    """A factory of servers with a fault."""

    def one(fault: str, *flags: str) -> Server:
        arguments = (fault, "--model-id", str(tiny_model), *flags)
        server = Server(*arguments, environment=IMPATIENT, module="tools.faulty")
        server.wait_ready()
        return server

    return one
