"""The page in a browser, with a model of every kind behind it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.slow.playground.acts import TEXTS, paste
from tools import tiny
from tools.browser import Page, chromium
from tools.playground.steps import look_as, wait_idle
from tools.process import Server

KINDS = {
    "dense": "embedding",
    "rerank": "reranker",
    "terms": "splade",
    "late": "multi_vector",
    "labels": "classifier",
}


@pytest.fixture(scope="module")
def kinds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of a model of every kind."""
    root = tmp_path_factory.mktemp("playground")
    flags: list[str] = []
    for name, task in KINDS.items():
        tiny.build(root / name, task)  # type: ignore[arg-type]  # all are tasks
        flags += ["--model-id", str(root / name), "--served-model-name", name]
    with Server(*flags, "--max-client-batch-size", "4") as running:
        running.wait_ready()
        yield running


@pytest.fixture
def page(kinds: Server, tmp_path: Path) -> Iterator[Page]:
    """The page with TEXTS; at the end it has complained of nothing and asked no other host."""
    with chromium(tmp_path) as opened:
        look_as(opened, 1280, 900)
        opened.open(f"{kinds.url}/playground/")
        wait_idle(opened)
        paste(opened, TEXTS)
        yield opened
        assert opened.complaints == []
        assert {url.split("/")[2] for url in opened.requests} == {f"127.0.0.1:{kinds.port}"}
        assert opened.evaluate("document.getElementById('notice').hidden")
