"""Requests of more inputs than there are permits: computed in slices, beside everyone else."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.types import ASGIApp

from app.api.http.service import Service
from app.inference.providers.session import Session
from tests.api.conftest import MakeKind
from tests.support import distinct
from tests.support.description import document_of
from tests.support.held_runs import Held, until
from tools import tiny
from tools.asgi import make_scope, post, request, send_request
from tools.client import JSON, Reply

MakeService = Callable[..., tuple[Service, ASGIApp]]
TEXTS = ["a", "the cat", "hello world", "b c", "dog", "sat on the mat", "c d e"]
EMBEDDINGS = "/v1/embeddings"


@pytest.mark.parametrize("permits", [1, 2, 3, 6])
@pytest.mark.parametrize(
    ("kind", "path", "body"),
    [
        ("embedding", "/embed", {"inputs": TEXTS}),
        ("embedding", "/embed_all", {"inputs": TEXTS}),
        ("embedding", "/similarity", {"inputs": {"source_sentence": "a", "sentences": TEXTS}}),
        ("embedding", EMBEDDINGS, {"input": TEXTS}),
        ("splade", "/embed_sparse", {"inputs": TEXTS}),
        ("classifier", "/predict", {"inputs": [[text] for text in TEXTS]}),
        ("reranker", "/rerank", {"query": "cat", "texts": TEXTS}),
        ("reranker", "/v1/rerank", {"query": "cat", "documents": TEXTS}),
        ("embedding", "/vertex", {"instances": [{"inputs": text} for text in TEXTS]}),
        ("embedding", "/vertex", {"instances": [{"inputs": TEXTS}, {"inputs": "a"}]}),
        ("reranker", "/vertex", {"instances": [{"query": "cat", "texts": TEXTS}] * 2}),
    ],
)
def test_more_inputs_than_permits_are_answered_as_with_enough(
    make_kind: MakeKind, kind: str, path: str, body: Any, permits: int
) -> None:
    enough = post(make_kind(kind), path, body)
    app = make_kind(kind, max_concurrent_requests=permits)
    found = post(app, path, body)
    assert (enough.status, found.status) == (200, 200), found.text
    assert close(found.json, enough.json)
    assert found.headers.get("x-compute-tokens") == enough.headers.get("x-compute-tokens")
    assert "te_permits_taken 0" in request(app, "GET", "/metrics").text.splitlines()


def close(found: Any, wanted: Any) -> bool:
    """Return whether two answers are equal but for the last digits of their numbers."""
    if isinstance(wanted, dict):
        return found.keys() == wanted.keys() and all(close(found[k], wanted[k]) for k in wanted)
    if isinstance(wanted, list):
        return len(found) == len(wanted) and all(map(close, found, wanted))
    return bool(found == (pytest.approx(wanted, abs=1e-6) if type(wanted) is float else wanted))


async def ask(
    app: ASGIApp, rows: int, gone: asyncio.Event | None = None, milliseconds: int = 60_000
) -> Reply:
    headers = JSON | {"x-request-timeout-ms": str(milliseconds)}
    content = json.dumps({"inputs": distinct.texts(rows)}).encode()
    return await send_request(app, make_scope("POST", "/embed", headers), [content], gone)


MANY = 1000


def test_a_large_request_leaves_room_for_others_and_two_of_them_run_side_by_side(
    make_service: MakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    service, app = make_service(max_concurrent_requests=4, max_client_batch_size=10, threads=1)
    permits, held = service.model.engine.admission.permits, Held(monkeypatch)

    async def scenario() -> None:
        first = asyncio.create_task(ask(app, 7))
        await held.begun()
        assert permits.free == 2
        assert (await ask(app, 3, milliseconds=1)).status == 504  # it was admitted
        second = asyncio.create_task(ask(app, 5))
        await until(lambda: not permits.free)
        for rows in (1, 2, 5, 10):  # no permit is left now
            assert (await ask(app, rows)).status == 429
        held.go_on(MANY)
        for reply, rows in ((await first, 7), (await second, 5)):
            vectors = distinct.vectors(distinct.texts(rows))
            np.testing.assert_allclose(reply.json, vectors, atol=1e-6)
        assert (await ask(app, 10)).status == 200

    asyncio.run(scenario())
    assert permits.free == 4
    assert max(held.sizes) <= 4  # two requests with two slices each


def test_no_later_slice_is_computed_for_a_client_that_has_gone(
    make_service: MakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    service, app = make_service(max_concurrent_requests=4, max_client_batch_size=10, threads=1)
    permits, held = service.model.engine.admission.permits, Held(monkeypatch)

    async def scenario() -> None:
        gone = asyncio.Event()
        leaving = asyncio.create_task(ask(app, 9, gone))
        await held.begun()
        held.go_on()
        await held.begun()  # the second slice
        gone.set()
        await leaving
        assert permits.free == 4
        held.go_on(MANY)
        assert (await ask(app, 1)).status == 200

    asyncio.run(scenario())
    assert held.sizes == [2, 2, 1]


def test_after_a_deadline_no_later_slice_is_computed(
    make_service: MakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    service, app = make_service(max_concurrent_requests=2, max_client_batch_size=10, threads=1)
    held = Held(monkeypatch)

    async def scenario() -> None:
        late = await ask(app, 5, milliseconds=50)
        assert (late.status, late.json["error_type"]) == (504, "Timeout")
        assert service.model.engine.admission.permits.free == 2
        held.go_on(MANY)
        assert (await ask(app, 1)).status == 200

    asyncio.run(scenario())
    assert held.sizes == [1, 1]


@pytest.mark.parametrize(
    ("last", "more", "status"),
    [("", {}, 400), ("a " * 20, {"truncate": False}, 422), ("a", {"prompt_name": "no"}, 422)],
)
def test_nothing_is_computed_of_a_large_request_that_cannot_succeed(
    make_service: MakeService,
    monkeypatch: pytest.MonkeyPatch,
    last: str,
    more: dict[str, Any],
    status: int,
) -> None:
    service, app = make_service(max_concurrent_requests=2)
    held = Held(monkeypatch)
    held.go_on(MANY)
    assert post(app, "/embed", {"inputs": [*distinct.texts(9), last], **more}).status == status
    assert held.sizes == []
    assert service.model.engine.admission.permits.free == 2


def test_an_input_at_fault_is_named_by_its_place_in_the_request(
    make_service: MakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, app = make_service(max_concurrent_requests=2)
    real_run = Session.run

    def run(one: Any, batch: Any, outputs: Any) -> Any:
        results = real_run(one, batch, outputs)
        for result in results.values():
            result[batch.input_ids[:, 1] == tiny.ids_of("dog")[1]] = np.nan
        return results

    monkeypatch.setattr(Session, "run", run)
    reply = post(app, "/embed", {"inputs": [*distinct.texts(6), "dog"]})
    assert reply.status == 424
    assert reply.json["error"] == "Backend error: the embedding of input 6 is not finite"


@pytest.mark.parametrize("path", [EMBEDDINGS, "/embeddings"])
def test_openai_s_route_takes_as_many_inputs_as_openai_does(
    make_service: MakeService, path: str
) -> None:
    service, app = make_service(threads=1)
    answer = post(app, path, {"input": ["cat", "a", *distinct.texts(2045), "dog"]})
    assert answer.status == 200
    found = answer.json["data"]
    assert [one["index"] for one in found] == list(range(2048))
    for place, text in ((0, "cat"), (1, "a"), (2047, "dog")):
        expected = tiny.unit(tiny.reference(tiny.ids_of(text)))
        np.testing.assert_allclose(found[place]["embedding"], expected, atol=1e-6)
    assert service.model.engine.admission.permits.free == 512
    refused = post(app, path, {"input": ["a"] * 2049})
    assert (refused.status, refused.json["message"]) == (
        422,
        "batch size 2049 > maximum allowed batch size 2048; --max-client-batch-size raises it",
    )
    assert post(app, "/embed", {"inputs": ["a"] * 33}).status == 422


def test_beside_bulk_a_lone_query_always_finds_room(
    make_service: MakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many clients send batches side by side, and whatever TEI's routes take."""
    service, app = make_service(max_concurrent_requests=16, max_client_batch_size=100, threads=1)
    permits, held = service.model.engine.admission.permits, Held(monkeypatch)

    async def bulk(inputs: int) -> Reply:
        content = json.dumps({"input": distinct.texts(inputs)}).encode()
        return await send_request(app, make_scope("POST", EMBEDDINGS, JSON), [content])

    async def scenario() -> None:
        asking = [asyncio.create_task(bulk(inputs)) for inputs in (16, 5, 2048)]
        await held.begun()
        await until(lambda: permits.free == 4)
        assert (await bulk(5)).status == 429
        assert (await ask(app, 4, milliseconds=1)).status == 504  # it was admitted
        held.go_on(MANY)
        assert [(await one).status for one in asking] == [200, 200, 200]

    asyncio.run(scenario())
    assert permits.free == 16


def test_a_higher_limit_holds_on_openai_s_route_too(make_service: MakeService) -> None:
    _, app = make_service(max_client_batch_size=2100)
    assert post(app, EMBEDDINGS, {"input": distinct.texts(2100)}).status == 200
    described = document_of(app)["components"]["schemas"]["OpenAICompatInput"]
    assert described["anyOf"][-1]["maxItems"] == 2100


@pytest.mark.parametrize(
    ("kind", "instance"),
    [("embedding", {"inputs": []}), ("reranker", {"query": "cat", "texts": []})],
)
def test_an_instance_without_an_input_needs_a_permit_too(
    make_service: MakeService, folders: dict[str, Path], kind: str, instance: Any
) -> None:
    """Eighty thousand of them were two seconds of work without any bound."""
    service, app = make_service(model_id=str(folders[kind]))
    body = {"instances": [instance]}
    assert post(app, "/vertex", body).status in {400, 424}
    with service.model.engine.admission.permits.taken(service.model.engine.admission.permits.total):
        assert post(app, "/vertex", body).status == 429


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/tokenize", {"inputs": "the cat " * 250}),
        ("/decode", {"ids": [9] * 1_000}),
    ],
)
def test_no_answer_is_too_large_for_an_idle_service(
    make_service: MakeService, path: str, body: Any
) -> None:
    """The estimate of its bytes never exceeds half of the budget."""
    enough = post(make_service()[1], path, body)
    service, app = make_service(max_concurrent_bytes=8_192)
    assert post(app, path, body).json == enough.json
    assert enough.status == 200
    assert service.bodies.free == service.bodies.total
