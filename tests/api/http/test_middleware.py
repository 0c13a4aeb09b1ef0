"""The middleware, which covers what Hypercorn 0.18 leaves to the application."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

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


KEY = {"authorization": "Bearer secret", "content-type": "application/json"}


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "secret",
        "bearer secret",
        "",
        "Bearer",
        "Bearer ",
        "Bearer  secret",
        "Bearer secret ",
        "Bearer wrong",
        "Bearer ñ",
    ],
)
def test_without_the_exact_key_nothing_protected_answers(
    make_service: MakeService, authorization: str | None
) -> None:
    _, app = make_service(api_key="secret")
    headers = {} if authorization is None else {"authorization": authorization}
    for method, path in (("POST", "/embed"), ("GET", "/embed"), ("GET", "/info"), ("POST", "/")):
        reply = request(app, method, path, b"\xff", headers)
        assert (reply.status, reply.content) == (401, b"")
        assert "www-authenticate" not in reply.headers
        assert "content-type" not in reply.headers


def test_with_the_key_every_route_answers(make_service: MakeService) -> None:
    _, app = make_service(api_key="secret")
    assert request(app, "POST", "/embed", b'{"inputs":"a"}', KEY).status == 200
    assert request(app, "GET", "/info", headers=KEY).status == 200
    assert request(app, "GET", "/embed", headers=KEY).status == 405


def test_probes_and_unknown_paths_need_no_key(make_service: MakeService) -> None:
    _, app = make_service(api_key="secret")
    for path in ("/health", "/ping", "/", "/metrics"):
        assert request(app, "GET", path, headers={}).status == 200
    assert request(app, "PUT", "/", headers={}).status == 405
    assert request(app, "GET", "/nope", headers={}).status == 404
    assert request(app, "OPTIONS", "/embed", headers={}).status == 200


def test_a_server_without_a_key_ignores_what_clients_send(app: ASGIApp) -> None:
    headers = {"authorization": "undefined", "content-type": "application/json"}
    assert request(app, "POST", "/embed", b'{"inputs":"a"}', headers).status == 200


VARY = "origin, access-control-request-method, access-control-request-headers"


def test_any_origin_may_call_by_default(app: ASGIApp) -> None:
    for method, path in (
        ("GET", "/health"),
        ("GET", "/nope"),
        ("POST", "/embed"),
        ("PUT", "/info"),
    ):
        reply = request(app, method, path)
        assert reply.headers["vary"] == VARY
        assert reply.headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize("path", ["/embed", "/nope"])
def test_options_is_a_preflight_on_every_path(app: ASGIApp, path: str) -> None:
    reply = request(app, "OPTIONS", path, headers={})
    assert (reply.status, reply.content) == (200, b"")
    assert reply.headers["access-control-allow-methods"] == "GET,POST"
    assert reply.headers["access-control-allow-headers"] == "content-type"


@pytest.mark.parametrize("origins", [(), ("https://a.example",)])
def test_a_page_may_send_the_key_that_is_needed(
    make_service: MakeService, origins: tuple[str, ...]
) -> None:
    _, app = make_service(api_key="k", cors_allow_origin=origins)
    asking = {
        "origin": "https://a.example",
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization,content-type",
    }
    reply = request(app, "OPTIONS", "/embed", headers=asking)
    assert reply.headers["access-control-allow-headers"] == "content-type,authorization"
    assert reply.headers["access-control-allow-origin"] == (origins[0] if origins else "*")


def test_listed_origins_are_echoed_and_others_are_not(make_service: MakeService) -> None:
    _, app = make_service(cors_allow_origin=("https://a.example", "https://b.example"))
    echoed = request(app, "GET", "/health", headers={"origin": "https://b.example"})
    other = request(app, "GET", "/health", headers={"origin": "https://c.example"})
    none = request(app, "GET", "/health", headers={})
    assert echoed.headers["access-control-allow-origin"] == "https://b.example"
    assert "access-control-allow-origin" not in other.headers
    assert "access-control-allow-origin" not in none.headers
    assert other.headers["vary"] == none.headers["vary"] == VARY
