"""Fixtures of the tests that steer a worker."""

import asyncio
from collections.abc import Iterator

import pytest

from tests.support.faulty_sessions import FaultySession
from tests.support.steering import Bench, loop_in_thread, make_bench


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """An event loop in a thread of its own."""
    with loop_in_thread() as loop:
        yield loop


@pytest.fixture
def bench(loop: asyncio.AbstractEventLoop) -> Bench:
    """A worker that runs one batch at a time."""
    return make_bench(loop)


@pytest.fixture
def faulty() -> Iterator[FaultySession]:
    session = FaultySession()
    yield session
    session.release.set()
