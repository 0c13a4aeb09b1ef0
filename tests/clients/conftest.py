"""Fixtures: servers, and the vectors that plain HTTP gives."""

from collections.abc import Iterator

import pytest

from tests.clients.service import post, serve
from tests.clients.vectors import TEXTS

KEY = "a-secret-key"


@pytest.fixture(scope="session")
def url() -> Iterator[str]:
    """A server with every setting at its default."""
    with serve() as address:
        yield address


@pytest.fixture(scope="session")
def keyed_url() -> Iterator[str]:
    """A server that asks for KEY."""
    with serve(API_KEY=KEY) as address:
        yield address


@pytest.fixture(scope="session")
def similarity_url() -> Iterator[str]:
    """A server whose root answers as /similarity does."""
    with serve(TASK="sentence-similarity") as address:
        yield address


@pytest.fixture(scope="session")
def key() -> str:
    return KEY


@pytest.fixture(scope="session")
def reference(url: str) -> list[list[float]]:
    """The vectors of TEXTS, by plain HTTP."""
    vectors: list[list[float]] = post(f"{url}/embed", {"inputs": TEXTS})
    return vectors


@pytest.fixture(scope="session")
def similarities(url: str) -> list[float]:
    """How near the first of TEXTS is to each of the others, by plain HTTP."""
    body = {"inputs": {"source_sentence": TEXTS[0], "sentences": TEXTS[1:]}}
    scores: list[float] = post(f"{url}/similarity", body)
    return scores
