"""The middleware against what Hypercorn 0.18 leaves to the application."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.http.middleware import MAX_HEADER_BYTES, MAX_HEADERS, Browsers, wrap
from app.api.http.service import Service
from app.api.http.transport import respond
from app.lifecycle import Lifecycle
from app.telemetry.metrics import Metrics
from tools.asgi import make_scope, request, send_request

MakeService = Callable[..., tuple[Service, ASGIApp]]


async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers without reading the body."""
    del scope, receive
    await respond(send, 200, b"early", None, [])


app = wrap(refuse, Lifecycle(), Metrics(), Browsers())


def test_an_early_answer_over_http2_reads_the_rest() -> None:
    async def scenario() -> tuple[list[Message], int]:
        queue: asyncio.Queue[Message] = asyncio.Queue(maxsize=10)  # as Hypercorn's
        sent: list[Message] = []

        async def upload() -> None:
            for _ in range(100):
                await queue.put({"type": "http.request", "body": b"x" * 1000, "more_body": True})
            await queue.put({"type": "http.disconnect"})

        async def send(message: Message) -> None:
            sent.append(message)

        headers = {"content-length": "100000"}
        scope = {**make_scope("POST", "/embed", headers), "http_version": "2"}
        await app(scope, queue.get, send)
        async with asyncio.timeout(5):
            await upload()  # blocks for ever when nobody reads
        await asyncio.sleep(0)
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for _ in range(10):
            await asyncio.sleep(0)
        return sent, len(asyncio.all_tasks() - {asyncio.current_task()}) if others else 0

    sent, tasks = asyncio.run(scenario())
    assert sent[0]["status"] == 200
    assert tasks == 0


@pytest.mark.parametrize("headers", [{}, {"content-length": "0"}])
def test_an_answer_to_a_request_without_a_body_keeps_the_connection(
    headers: dict[str, str],
) -> None:
    assert "connection" not in request(app, "GET", "/", headers=headers).headers


def test_too_many_or_too_large_headers_are_431() -> None:
    many = {f"x-{i}": "" for i in range(MAX_HEADERS + 1)}
    large = {"x-large": "x" * MAX_HEADER_BYTES}
    for headers in (many, large):
        reply = request(app, "GET", "/", headers=headers)
        assert (reply.status, reply.headers["connection"]) == (431, "close")
    fits = {f"x-{i}": "" for i in range(MAX_HEADERS)}
    assert request(app, "GET", "/", headers=fits).status == 200


def test_a_request_with_two_lengths_is_400() -> None:
    headers = {"content-length": "5", "transfer-encoding": "chunked"}
    reply = asyncio.run(send_request(app, make_scope("POST", "/", headers), []))
    assert (reply.status, reply.headers["connection"]) == (400, "close")


def test_a_body_read_after_the_answer_is_no_request_in_flight() -> None:
    lifecycle = Lifecycle()
    refusing = wrap(refuse, lifecycle, Metrics(), Browsers())

    async def scenario() -> int:
        scope = make_scope("POST", "/embed", {"content-length": "4"})
        await send_request(refusing, scope, [b"late"])
        while others := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(others)
        return lifecycle.in_flight

    assert asyncio.run(scenario()) == 0


def test_requests_in_flight_are_counted_until_they_end() -> None:
    lifecycle = Lifecycle()
    seen: list[int] = []

    async def look(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(lifecycle.in_flight)
        if scope["path"] == "/fail":
            raise ZeroDivisionError
        await refuse(scope, receive, send)

    counted = wrap(look, lifecycle, Metrics(), Browsers())
    request(counted, "GET", "/")
    with pytest.raises(ZeroDivisionError):
        request(counted, "GET", "/fail")
    assert (seen, lifecycle.in_flight) == ([1, 1], 0)


def test_a_lifespan_passes_through() -> None:
    scopes: list[Any] = []

    async def note(scope: Scope, receive: Receive, send: Send) -> None:
        del receive, send
        scopes.append(scope["type"])

    async def nothing(*_: Any) -> Any:
        return {}

    wrapped = wrap(note, Lifecycle(), Metrics(), Browsers())
    asyncio.run(wrapped({"type": "lifespan"}, nothing, nothing))  # type: ignore[arg-type]
    assert scopes == ["lifespan"]


def test_answers_are_counted_by_path_and_status(make_service: MakeService) -> None:
    _, service = make_service(api_key="k")
    key = {"authorization": "Bearer k", "content-type": "application/json"}
    request(service, "POST", "/embed", b'{"inputs":"a"}', key)
    request(service, "POST", "/embed", b'{"inputs":"a"}')
    request(service, "POST", "/embed", b"{", key)
    request(service, "GET", "/no/such/path")
    request(service, "OPTIONS", "/embed")
    request(service, "GET", "/embed", headers={f"x-{i}": "" for i in range(MAX_HEADERS + 1)})
    text = request(service, "GET", "/metrics").text
    assert [line for line in text.splitlines() if line.startswith("te_http")] == [
        'te_http_response_count{path="/embed",status="200"} 1',
        'te_http_response_count{path="/embed",status="401"} 1',
        'te_http_response_count{path="/embed",status="400"} 1',
        'te_http_response_count{path="other",status="404"} 1',
        'te_http_response_count{path="other",status="200"} 1',
        'te_http_response_count{path="other",status="431"} 1',
    ]
