"""Fixtures: servers, and the vectors of plain HTTP."""

from collections.abc import Iterator

import pytest

from tests.clients.service import DENSE, MODEL, RANKS, build_reranker, post, serve
from tests.clients.vectors import DOCUMENTS, QUERY, TEXTS

KEY = "a-secret-key"


@pytest.fixture(scope="session")
def url() -> Iterator[str]:
    """A server with every setting but the precision at its default."""
    with serve() as address:
        yield address


@pytest.fixture(scope="session")
def keyed_url() -> Iterator[str]:
    """A server with the key KEY."""
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
    """The similarity of the first of TEXTS to each of the others, by plain HTTP."""
    body = {"inputs": {"source_sentence": TEXTS[0], "sentences": TEXTS[1:]}}
    scores: list[float] = post(f"{url}/similarity", body)
    return scores


@pytest.fixture(scope="session")
def reranker_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of a reranker."""
    folder = tmp_path_factory.mktemp("models") / "reranker"
    build_reranker(folder)
    with serve(str(folder)) as address:
        yield address


@pytest.fixture(scope="session")
def both_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server of the model of `url` and the reranker of `reranker_url`, as DENSE and RANKS."""
    folder = tmp_path_factory.mktemp("models") / "reranker"
    build_reranker(folder)
    with serve(MODEL, str(folder), SERVED_MODEL_NAME=f"{DENSE},{RANKS}") as address:
        yield address


@pytest.fixture(scope="session")
def ranking(reranker_url: str) -> list[tuple[int, float]]:
    """The places of DOCUMENTS and their scores, best first, by plain HTTP."""
    body = {"query": QUERY, "texts": DOCUMENTS}
    answer = post(f"{reranker_url}/rerank", body)
    return [(one["index"], one["score"]) for one in answer]
