"""Request ids and trace contexts: on answers, and in the log lines of requests."""

import json
import logging
import re
from collections.abc import Callable
from typing import Any

import pytest
from starlette.types import ASGIApp

from app.api.http.service import Service
from app.telemetry.logs import JsonFormatter
from tools.asgi import post, request
from tools.client import JSON

MakeService = Callable[..., tuple[Service, ASGIApp]]
TRACE = "0af7651916cd43dd8448eb211c80319c"


def answered(app: ASGIApp, given: str | None) -> str:
    headers = {} if given is None else {"x-request-id": given}
    return request(app, "GET", "/ping", headers=headers).headers["x-request-id"]


def logged(caplog: pytest.LogCaptureFixture) -> list[Any]:
    formatter = JsonFormatter()
    return [json.loads(formatter.format(record)) for record in caplog.records]


@pytest.mark.parametrize("given", ["a", "req-7_x.y:z/1+2=3@~4", "A" * 128])
def test_a_sane_request_id_comes_back(app: ASGIApp, given: str) -> None:
    assert answered(app, given) == given


@pytest.mark.parametrize(
    "given", [None, "", "A" * 129, "a b", "a;b", '"', "<script>", "a\tb", "-a", "\xe9"]
)
def test_any_other_is_replaced(app: ASGIApp, given: str | None) -> None:
    made = answered(app, given)
    assert re.fullmatch(r"[0-9a-f]{32}", made)
    assert made != answered(app, given)


def test_every_answer_has_an_id(make_service: MakeService) -> None:
    _, app = make_service(api_key="k")
    replies = [
        request(app, "GET", "/missing", headers={}),
        request(app, "OPTIONS", "/embed", headers={}),
        request(app, "GET", "/embed", headers={}),
        request(app, "GET", "/docs", headers={}),
        request(app, "GET", "/", headers={f"x-{i}": "" for i in range(101)}),
    ]
    assert [reply.status for reply in replies] == [404, 200, 401, 303, 431]
    assert len({reply.headers["x-request-id"] for reply in replies}) == len(replies)


def test_log_lines_carry_the_id_and_the_trace(
    app: ASGIApp, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "app.api")
    headers = JSON | {"x-request-id": "mine", "traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}
    request(app, "POST", "/embed", b'{"inputs":"the cat"}', headers)
    request(app, "POST", "/embed", b'{"inputs":""}', headers)
    request(app, "POST", "/tokenize", b'{"inputs":[]}', headers)
    success, embed, tokenize = logged(caplog)
    origin = {"request_id": "mine", "trace_id": TRACE}
    assert success["message"] == "Success"
    assert success["span"].items() > {"name": "embed", **origin}.items()
    assert success["spans"] == [success["span"]]
    assert (embed["level"], embed["span"]) == ("ERROR", {"name": "embed", **origin})
    assert embed["message"] == "Input validation error: `inputs` cannot be empty"
    assert (tokenize["message"], tokenize["span"]["name"]) == (
        "`inputs` cannot be empty",
        "tokenize",
    )


def test_without_a_trace_only_the_id_is_logged(
    app: ASGIApp, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "app.api")
    reply = post(app, "/embed", {"inputs": "the cat"})
    request(app, "POST", "/embed", b'{"inputs":""}', JSON | {"traceparent": "00-1-2-3"})
    success, failure = logged(caplog)
    assert success["span"]["request_id"] == reply.headers["x-request-id"]
    assert "trace_id" not in success["span"] | failure["span"]
