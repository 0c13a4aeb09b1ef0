"""Endpoints: which requests are read, which are refused, and what a disconnect cancels."""

import asyncio
import gzip
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from starlette.types import ASGIApp

from app.api.http.service import Service
from app.errors import BackendFailed
from app.inference.providers.session import Session
from tools import tiny
from tools.asgi import make_scope, post, request, send_request
from tools.client import JSON

MakeService = Callable[..., tuple[Service, ASGIApp]]


def expected(text: str, dimensions: int | None = None) -> Any:
    return tiny.unit(tiny.reference(tiny.ids_of(text))[:dimensions])


@pytest.mark.parametrize("path", ["/health", "/ping", "/"])
def test_health_is_empty_while_all_is_well(app: ASGIApp, path: str) -> None:
    reply = request(app, "GET", path, headers={})
    assert (reply.status, reply.content) == (200, b"")
    assert "content-type" not in reply.headers


def test_health_follows_the_last_run_and_recovers(
    make_service: MakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, app = make_service()

    def fail(*_: object) -> None:
        raise BackendFailed("Backend error: gone")

    monkeypatch.setattr(Session, "run", fail)
    reply = post(app, "/embed", {"inputs": "a"})
    assert (reply.status, reply.json["error_type"]) == (424, "Backend")
    sick = request(app, "GET", "/health")
    assert (sick.status, sick.json) == (503, {"error": "unhealthy", "error_type": "Unhealthy"})
    monkeypatch.undo()
    assert request(app, "GET", "/health").status == 200


def test_health_is_503_while_draining(make_service: MakeService) -> None:
    service, app = make_service()
    service.lifecycle.end()
    assert request(app, "GET", "/health").status == 503
    reply = post(app, "/embed", {"inputs": "a"})
    assert (reply.status, reply.headers["connection"]) == (200, "close")


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "application/json; charset=utf-8",
        "Application/JSON",
        "application/x+json",
        # No strict MIME types, which TEI refuses.
        "application/json ; x=y",
        "application/json; charset",
        "application/json;;",
        'application/json; q="a',
        "application/+json",
    ],
)
def test_json_types_are_read(app: ASGIApp, content_type: str) -> None:
    headers = {"content-type": content_type}
    assert request(app, "POST", "/embed", b'{"inputs":"a"}', headers).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"content-type": "text/json"},
        {"content-type": "application/json+x"},
        {"content-type": "application/x-www-form-urlencoded"},
    ],
)
def test_other_types_are_415_before_anything_is_parsed(
    app: ASGIApp, headers: dict[str, str]
) -> None:
    reply = request(app, "POST", "/embed", b"\xff", headers)
    assert reply.status == 415
    assert reply.text == "Expected request with `Content-Type: application/json`"
    assert reply.headers["content-type"] == "text/plain; charset=utf-8"


def test_a_compressed_body_is_read_as_it_comes(app: ASGIApp) -> None:
    content = gzip.compress(b'{"inputs":"' + b"a" * 10_000_000 + b'"}')  # the body is not inflated
    reply = request(app, "POST", "/embed", content, JSON | {"content-encoding": "gzip"})
    assert reply.status == 400
    assert reply.text.startswith("Failed to parse the request body as JSON: ")


def test_a_body_of_the_limit_is_read_and_one_byte_more_is_413(make_service: MakeService) -> None:
    _, app = make_service(payload_limit=20)
    fits = b'{"inputs":"a"}'.ljust(20)
    assert request(app, "POST", "/embed", fits).status == 200
    for chunks in ([fits + b" "], [fits, b" "], [b" "] * 21):
        reply = request(app, "POST", "/embed", chunks)
        assert reply.status == 413
        assert reply.text == (
            "Failed to buffer the request body: length limit exceeded; --payload-limit raises it"
        )
        assert reply.headers["content-type"] == "text/plain; charset=utf-8"


def test_a_declared_length_over_the_limit_is_refused_unread(make_service: MakeService) -> None:
    _, app = make_service(payload_limit=20)
    headers = {"content-type": "application/json", "content-length": "21"}
    scope = make_scope("POST", "/embed", headers)
    reply = asyncio.run(send_request(app, scope, []))
    assert reply.status == 413


def test_a_body_in_pieces_is_one_body(app: ASGIApp) -> None:
    pieces = [bytes([byte]) for byte in b'{"inputs":"the cat"}']
    reply = request(app, "POST", "/embed", pieces)
    np.testing.assert_allclose(reply.json, [expected("the cat")], atol=1e-6)


def test_malformed_and_mistyped_bodies_are_text_on_every_route(app: ASGIApp) -> None:
    for path in ("/embed", "/v1/embeddings"):
        malformed = request(app, "POST", path, b"{")
        mistyped = request(app, "POST", path, b"{}")
        assert (malformed.status, mistyped.status) == (400, 422)
        assert malformed.headers["content-type"] == "text/plain; charset=utf-8"
        assert malformed.text.startswith("Failed to parse the request body as JSON: EOF")
        assert mistyped.text.startswith("Failed to deserialize the JSON body into the target type:")


def test_a_client_that_goes_away_frees_its_permits_and_is_not_computed(
    make_service: MakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    service, app = make_service(max_concurrent_requests=8, threads=1)
    real_run = Session.run
    rows: list[int] = []

    async def scenario() -> None:
        import threading

        running, go_on = threading.Event(), threading.Event()

        def slow_run(self: Any, batch: Any, outputs: Any) -> Any:
            rows.append(len(batch.input_ids))
            running.set()
            assert go_on.wait(10)
            return real_run(self, batch, outputs)

        monkeypatch.setattr(Session, "run", slow_run)
        scope = make_scope("POST", "/embed", {"content-type": "application/json"})
        gone = asyncio.Event()
        first = asyncio.create_task(send_request(app, dict(scope), [b'{"inputs":["a","b"]}']))
        await asyncio.to_thread(running.wait, 10)
        body = b'{"inputs":["c","d","e"]}'
        second = asyncio.create_task(send_request(app, dict(scope), [body], gone))
        while "te_queue_size 3" not in service.metrics.render():  # noqa: ASYNC110  # set by a thread
            await asyncio.sleep(0)
        assert service.model.engine.admission.permits.free == 3
        gone.set()
        assert (await second).status == 0
        assert service.model.engine.admission.permits.free == 6
        go_on.set()
        assert (await first).status == 200
        assert service.model.engine.admission.permits.free == 8

    asyncio.run(scenario())
    assert rows == [2]
    assert post(app, "/embed", {"inputs": "a"}).status == 200
    assert 'te_request_failure{err="dropped"} 3' in request(app, "GET", "/metrics").text


def test_a_client_that_goes_away_during_its_body_gets_nothing(app: ASGIApp) -> None:
    async def scenario() -> int:
        messages = [
            {"type": "http.request", "body": b'{"inp', "more_body": True},
            {"type": "http.disconnect"},
        ]
        sent: list[Any] = []

        async def receive() -> Any:
            return messages.pop(0)

        async def send(message: Any) -> None:
            sent.append(message)

        await app(make_scope("POST", "/embed", {"content-type": "application/json"}), receive, send)
        return len(sent)

    assert asyncio.run(scenario()) == 0


def test_an_internal_error_is_500_without_details(
    make_service: MakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    service, app = make_service()

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("inside")

    monkeypatch.setattr("app.inference.kinds.finishing.finish", broken)
    scope = make_scope("POST", "/embed", {"content-type": "application/json"})
    replies: list[Any] = []

    async def scenario() -> None:
        sent: list[Any] = []
        messages = [{"type": "http.request", "body": b'{"inputs":"a"}', "more_body": False}]

        async def receive() -> Any:
            if messages:
                return messages.pop(0)
            return await asyncio.Event().wait()

        async def send(message: Any) -> None:
            sent.append(message)

        with pytest.raises(ZeroDivisionError):  # the server logs it
            await app(scope, receive, send)
        replies.extend(sent)

    asyncio.run(scenario())
    assert replies[0]["status"] == 500
    assert replies[1]["body"] == b'{"error":"internal error","error_type":"Backend"}'
    assert service.model.engine.admission.permits.free == 512
