"""Failures as clients see them: of the model, of other clients, and of their own deadlines."""

import asyncio
import json
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from starlette.types import ASGIApp, Message

from app.api.http.service import Service
from app.inference.providers.session import Session
from tests.support import distinct
from tools import tiny
from tools.asgi import make_scope, post, request, send_request
from tools.client import JSON, Reply

MakeService = Callable[..., tuple[Service, ASGIApp]]


def spoil(monkeypatch: pytest.MonkeyPatch, text: str, value: float) -> None:
    """Let the model yield `value` for one text."""
    real_run = Session.run
    word = tiny.ids_of(text)[1]

    def run(self: Any, batch: Any, outputs: Any) -> Any:
        results = real_run(self, batch, outputs)
        for result in results.values():
            result[batch.input_ids[:, 1] == word] = value
        return results

    monkeypatch.setattr(Session, "run", run)


@pytest.mark.parametrize(
    ("value", "label", "fault"),
    [
        (np.nan, "not_finite", "not finite"),
        (np.inf, "not_finite", "not finite"),
        (0, "inference", "zero"),
    ],
)
def test_a_vector_that_json_cannot_hold_is_424_for_its_request_alone(
    make_service: MakeService, monkeypatch: pytest.MonkeyPatch, value: float, label: str, fault: str
) -> None:
    _, app = make_service()
    spoil(monkeypatch, "dog", value)
    bad = post(app, "/embed", {"inputs": ["cat", "dog"]})
    assert bad.status == 424
    assert bad.json["error"] == f"Backend error: the embedding of input 1 is {fault}"
    assert post(app, "/embed", {"inputs": ["cat"]}).status == 200
    assert request(app, "GET", "/health").status == 200
    assert f'te_request_failure{{err="{label}"}} 1' in request(app, "GET", "/metrics").text


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
def test_probes_are_empty_while_all_is_well(app: ASGIApp, path: str) -> None:
    reply = request(app, "GET", path, headers={})
    assert (reply.status, reply.content) == (200, b"")


def test_while_draining_the_process_is_alive_and_not_ready(make_service: MakeService) -> None:
    service, app = make_service()
    service.lifecycle.end()
    assert request(app, "GET", "/livez").status == 200
    sick = request(app, "GET", "/readyz")
    assert (sick.status, sick.json) == (503, {"error": "unhealthy", "error_type": "Unhealthy"})
    assert request(app, "GET", "/health").status == 503


def test_a_model_that_yields_nothing_finite_is_not_ready(
    make_service: MakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, app = make_service()
    spoil(monkeypatch, "health", np.nan)  # an unknown word, as in the probe
    spoil(monkeypatch, "dog", np.nan)
    assert post(app, "/embed", {"inputs": "dog"}).status == 424
    assert request(app, "GET", "/readyz").status == 503
    monkeypatch.undo()
    assert request(app, "GET", "/readyz").status == 200


# Deadlines and overload.


def hold_runs(monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Any, list[int]]:
    """Hold runs: return an event for a begun run, one that lets them go, and their sizes."""
    real_run = Session.run
    begun, go_on = threading.Event(), threading.Event()
    sizes: list[int] = []

    def run(self: Any, batch: Any, outputs: Any) -> Any:
        sizes.append(len(batch.input_ids))
        begun.set()
        assert go_on.wait(10)
        return real_run(self, batch, outputs)

    monkeypatch.setattr(Session, "run", run)
    return begun, go_on, sizes


@pytest.mark.parametrize("name", ["x-request-timeout-ms", "x-envoy-expected-rq-timeout-ms"])
def test_after_its_deadline_a_request_is_not_computed(
    make_service: MakeService, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    service, app = make_service(max_concurrent_requests=8, threads=1)
    begun, go_on, sizes = hold_runs(monkeypatch)

    async def scenario() -> None:
        scope = make_scope("POST", "/embed", JSON)
        first = asyncio.create_task(send_request(app, scope, [b'{"inputs":["a","b"]}']))
        await asyncio.to_thread(begun.wait, 10)
        hasty = make_scope("POST", "/embed", JSON | {name: "50"})
        late = await send_request(app, hasty, [b'{"inputs":["c","d","e"]}'])
        assert late.status == 504
        assert late.json == {
            "error": "the request's deadline has passed",
            "error_type": "Timeout",
        }
        assert service.model.engine.admission.permits.free == 6
        go_on.set()
        assert (await first).status == 200

    asyncio.run(scenario())
    assert post(app, "/embed", {"inputs": "c"}).status == 200
    assert sizes == [2, 1]
    text = request(app, "GET", "/metrics").text
    assert 'te_request_failure{err="deadline"} 1' in text
    assert 'te_request_failure{err="dropped"} 3' in text


@pytest.mark.parametrize("rows", [1, 4])
def test_at_saturation_the_queue_is_bounded_and_the_rest_refused_at_once(
    make_service: MakeService, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    service, app = make_service(max_concurrent_requests=8)
    permits = service.model.engine.admission.permits
    begun, go_on, _ = hold_runs(monkeypatch)

    async def ask(number: int) -> Reply:
        content = json.dumps({"inputs": distinct.texts(rows, number * rows)}).encode()
        return await send_request(app, make_scope("POST", "/embed", JSON), [content])

    async def scenario() -> None:
        accepted = [asyncio.create_task(ask(number)) for number in range(8 // rows)]
        await asyncio.to_thread(begun.wait, 10)
        refused = [await ask(number) for number in range(20)]  # while runs are held
        assert [reply.status for reply in refused] == [429] * 20
        assert {reply.headers["retry-after"] for reply in refused} == {"1"}
        assert refused[0].json == {"error": "Model is overloaded", "error_type": "Overloaded"}
        assert permits.free == 0
        scrape = await send_request(app, make_scope("GET", "/metrics", {}), [])
        assert "\nte_permits_taken 8\n" in scrape.text
        go_on.set()
        for number, reply in enumerate(await asyncio.gather(*accepted)):
            vectors = distinct.vectors(distinct.texts(rows, number * rows))
            np.testing.assert_allclose(reply.json, vectors, atol=1e-6)
        assert permits.free == 8
        assert (await ask(0)).status == 200  # at once afterwards

    asyncio.run(scenario())
    text = request(app, "GET", "/metrics").text
    assert 'te_request_failure{err="overloaded"} 20' in text


def test_requests_that_fit_are_accepted_beside_refused_ones(
    make_service: MakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, app = make_service(max_concurrent_requests=8)
    begun, go_on, _ = hold_runs(monkeypatch)

    async def ask(rows: int) -> int:
        content = json.dumps({"inputs": distinct.texts(rows)}).encode()
        return (await send_request(app, make_scope("POST", "/embed", JSON), [content])).status

    async def scenario() -> None:
        first = asyncio.create_task(ask(6))
        await asyncio.to_thread(begun.wait, 10)
        assert await ask(3) == 429
        second = asyncio.create_task(ask(2))
        await asyncio.sleep(0)
        assert await ask(1) == 429
        go_on.set()
        assert [await first, await second] == [200, 200]

    asyncio.run(scenario())


@pytest.mark.parametrize("path", ["/embed", "/tokenize", "/v1/embeddings", "/vertex"])
@pytest.mark.parametrize("value", ["soon", "-1", "1.5", "", "99999999999"])
def test_a_deadline_that_is_no_number_is_400(app: ASGIApp, path: str, value: str) -> None:
    reply = request(app, "POST", path, b"{}", JSON | {"x-request-timeout-ms": value})
    assert reply.status == 400
    assert reply.text == (
        "Invalid header `x-request-timeout-ms`: expected a number of milliseconds"
    )


def test_a_deadline_that_is_met_changes_nothing(app: ASGIApp) -> None:
    headers = JSON | {"x-request-timeout-ms": "60000"}
    assert request(app, "POST", "/embed", b'{"inputs":"a"}', headers).status == 200


def test_bodies_that_hold_too_much_together_are_429_at_once(make_service: MakeService) -> None:
    service, app = make_service(payload_limit=100, max_concurrent_bytes=150)

    async def scenario() -> None:
        more = asyncio.Event()

        async def receive() -> Message:
            if not more.is_set():
                more.set()
                return {"type": "http.request", "body": b"x" * 90, "more_body": True}
            await asyncio.Event().wait()
            raise AssertionError

        async def send(_: Message) -> None: ...

        scope = make_scope("POST", "/embed", JSON)
        slow = asyncio.ensure_future(app(dict(scope), receive, send))
        await more.wait()
        await asyncio.sleep(0)
        for headers in ({}, {"content-length": "80"}):
            refused = await send_request(
                app,
                make_scope("POST", "/embed", JSON | headers),
                [b'{"inputs":"' + b"x" * 67 + b'"}'],
            )
            assert (refused.status, refused.headers["retry-after"]) == (429, "1")
            assert refused.json["error_type"] == "Overloaded"
        small = await send_request(app, dict(scope), [b'{"inputs":"cat"}'])
        assert small.status == 200
        slow.cancel()
        await asyncio.gather(slow, return_exceptions=True)
        assert service.bodies.free == 150

    asyncio.run(scenario())
    assert 'te_request_failure{err="overloaded"} 2' in request(app, "GET", "/metrics").text


def test_one_body_may_always_be_as_large_as_the_payload_limit(make_service: MakeService) -> None:
    service, app = make_service(payload_limit=1000, max_concurrent_bytes=10)
    largest = json.dumps({"inputs": "cat"}).encode().ljust(1000)
    assert request(app, "POST", "/embed", largest).status == 200
    with service.bodies.holding() as share:
        share.take(10)  # the others' limit together
        assert request(app, "POST", "/embed", largest).status == 200
        declared = JSON | {"content-length": "1000"}
        assert request(app, "POST", "/embed", largest, declared).status == 200
        share.take(1)
        assert request(app, "POST", "/embed", largest).status == 429
    assert service.bodies.free == 1010
