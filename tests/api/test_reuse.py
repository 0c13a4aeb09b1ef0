"""Repeated texts over HTTP: how often the model runs, and that answers are the same."""

import asyncio
import json
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from starlette.types import ASGIApp

from app.api.http.service import Service
from app.inference.providers.session import Session
from tests.api.conftest import MakeKind
from tools import tiny
from tools.asgi import make_scope, post, request, send_request
from tools.client import JSON, Reply

MakeService = Callable[..., tuple[Service, ASGIApp]]


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Record how many rows each run of a model has."""
    found: list[int] = []
    run = Session.run

    def noted(session: Session, batch: Any, outputs: Sequence[str]) -> Any:
        found.append(len(batch.input_ids))
        return run(session, batch, outputs)

    monkeypatch.setattr(Session, "run", noted)
    return found


def number_of(app: ASGIApp, name: str) -> int:
    lines = request(app, "GET", "/metrics").text.splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name} "))


ASKED = [
    ("embedding", "/embed", {"inputs": ["a", "the cat", "a"]}, 2),
    ("embedding", "/v1/embeddings", {"input": ["a", "the cat", "a"]}, 2),
    ("embedding", "/similarity", {"inputs": {"source_sentence": "a", "sentences": ["b", "a"]}}, 2),
    ("splade", "/embed_sparse", {"inputs": ["a", "the cat", "a"]}, 2),
    ("classifier", "/predict", {"inputs": [["a"], ["a", "b"], ["a"]]}, 2),
    ("reranker", "/rerank", {"query": "a", "texts": ["b", "the cat", "b"]}, 2),
]


@pytest.mark.parametrize(("kind", "path", "body", "distinct"), ASKED)
def test_equal_inputs_are_computed_once_and_kept(
    make_kind: MakeKind, rows: list[int], kind: str, path: str, body: Any, distinct: int
) -> None:
    app = make_kind(kind, cache_bytes=1_000_000)
    rows.clear()
    first = post(app, path, body)
    assert first.status == 200
    assert sum(rows) == distinct
    second = post(app, path, body)
    assert second.content == first.content
    assert sum(rows) == distinct
    assert number_of(app, "te_cache_hits") == number_of(app, "te_cache_misses") == distinct
    assert second.headers["x-compute-tokens"] == first.headers["x-compute-tokens"]
    assert second.headers["x-inference-time"] == "0"


def test_options_of_vectors_apply_to_the_cached_row(make_kind: MakeKind, rows: list[int]) -> None:
    app = make_kind("embedding", cache_bytes=1_000_000)
    rows.clear()
    [plain] = post(app, "/embed", {"inputs": "the cat", "normalize": False}).json
    ids = tiny.ids_of("the cat").tolist()
    assert post(app, "/embed", {"inputs": [ids], "normalize": False}).json == [plain]
    body = {"inputs": "the cat", "normalize": False, "dimensions": 3}
    assert post(app, "/embed", body).json == [plain[:3]]
    assert sum(rows) == 1
    post(app, "/embed", {"inputs": "cat", "prompt_name": "query"})
    post(app, "/embed", {"inputs": "query: cat"})
    assert sum(rows) == 2


def test_a_failure_is_not_kept(make_kind: MakeKind, monkeypatch: pytest.MonkeyPatch) -> None:
    app = make_kind("embedding", cache_bytes=1_000_000)
    run = Session.run

    def spoilt(session: Session, batch: Any, outputs: Sequence[str]) -> Any:
        return {
            name: values * float("nan") for name, values in run(session, batch, outputs).items()
        }

    with monkeypatch.context() as patch:
        patch.setattr(Session, "run", spoilt)
        assert post(app, "/embed", {"inputs": "the cat"}).status == 424
    assert post(app, "/embed", {"inputs": "the cat"}).status == 200


def test_without_a_cache_nothing_is_kept(make_kind: MakeKind, rows: list[int]) -> None:
    app = make_kind("embedding", cache_bytes=0)
    rows.clear()
    first = post(app, "/embed", {"inputs": ["a", "a"]})
    second = post(app, "/embed", {"inputs": ["a", "a"]})
    assert first.content == second.content
    assert rows == [1, 1]


def test_the_service_s_own_probe_is_computed_each_time(
    make_service: MakeService, rows: list[int]
) -> None:
    service, _ = make_service(cache_bytes=1_000_000)
    rows.clear()
    for _ in range(2):
        asyncio.run(service.model.engine.probe())
    assert rows == [1, 1]


def test_rows_of_two_models_are_not_confused(
    make_service: MakeService, folders: dict[str, Path]
) -> None:
    """The sparse row of a text is not the dense one."""
    [dense] = post(
        make_service(cache_bytes=1_000_000)[1], "/embed", {"inputs": "a", "normalize": False}
    ).json
    splade = make_service(model_id=str(folders["splade"]), cache_bytes=1_000_000)[1]
    [sparse] = post(splade, "/embed", {"inputs": "a", "normalize": False}).json
    assert (len(dense), len(sparse)) == (tiny.DIMENSIONS, len(tiny.WORDS))


class Held:
    """Runs that wait until the test lets them go."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.rows: list[int] = []
        self.started = threading.Event()
        self.release = threading.Event()
        run = Session.run

        def held(session: Session, batch: Any, outputs: Sequence[str]) -> Any:
            self.rows.append(len(batch.input_ids))
            self.started.set()
            assert self.release.wait(60)
            return run(session, batch, outputs)

        monkeypatch.setattr(Session, "run", held)


def asking(app: ASGIApp, body: Any, gone: asyncio.Event | None = None) -> "asyncio.Task[Reply]":
    scope = make_scope("POST", "/embed", JSON)
    return asyncio.create_task(send_request(app, scope, [json.dumps(body).encode()], gone))


@pytest.mark.parametrize("leaves", [False, True])
def test_a_text_in_progress_is_not_computed_for_the_next_one_unless_the_first_leaves(
    make_service: MakeService, monkeypatch: pytest.MonkeyPatch, *, leaves: bool
) -> None:
    service, app = make_service(cache_bytes=0, provider="cpu", dtype="float32")
    permits = service.model.engine.admission.permits
    held = Held(monkeypatch)

    async def scenario() -> tuple[Reply, Reply]:
        gone = asyncio.Event()
        first = asking(app, {"inputs": "the cat"}, gone)
        assert await asyncio.to_thread(held.started.wait, 60)
        second = asking(app, {"inputs": "the cat"})
        while number_of_shared(service) < 1:  # noqa: ASYNC110  # no event tells of it
            await asyncio.sleep(0)
        assert permits.total - permits.free == 1
        if leaves:
            gone.set()
            await first
        held.release.set()
        return await first, await second

    first, second = asyncio.run(scenario())
    assert second.status == 200
    assert held.rows == ([1, 1] if leaves else [1])
    if not leaves:
        assert first.content == second.content
    assert permits.free == permits.total


def number_of_shared(service: Service) -> int:
    lines = service.metrics.render().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("te_rows_shared "))
