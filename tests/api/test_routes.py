"""Requests through the whole application over the tiny model: exact status, headers and bodies."""

from collections.abc import Callable

import pytest
from starlette.types import ASGIApp

from app.api.http.service import Service
from tools.asgi import post, request
from tools.client import JSON

MakeService = Callable[..., tuple[Service, ASGIApp]]


def test_metrics_count_what_happened(app: ASGIApp) -> None:
    assert "te_request_count" not in request(app, "GET", "/metrics").text
    post(app, "/embed", {"inputs": "a"})
    post(app, "/embed", {"inputs": ["a", "b c"]})
    post(app, "/v1/embeddings", {"input": ["a"], "dimensions": 99})
    post(app, "/embed", {"inputs": ""})
    post(app, "/embed", {"inputs": "a", "dimensions": 0})
    post(app, "/embed", {"inputs": ["a"] * 33})
    post(app, "/embed", {"inputs": 5})
    reply = request(app, "GET", "/metrics")
    assert reply.headers["content-type"] == "text/plain; charset=utf-8"
    lines = reply.text.splitlines()
    for line in (
        'te_request_count{method="single"} 3',
        'te_request_count{method="batch"} 3',
        'te_request_success{method="single"} 1',
        'te_request_success{method="batch"} 1',
        'te_request_failure{err="tokenization"} 1',
        'te_request_failure{err="validation"} 2',
        'te_request_failure{err="batch_size"} 1',
        "te_embed_success 3",
        "te_request_duration_count 2",
        "te_embed_duration_count 3",
        "te_request_input_length_count 3",
        "te_request_input_length_sum 10",
        "te_queue_size 0",
    ):
        assert line in lines


@pytest.mark.parametrize("path", ["/nope", "/embed/", "//embed", "//embeddings", "/v1", "/v1/", "//v1", "/v1/embed/", "/embed/x", "/%2e%2e", "/v3//embeddings", "/v1/../embed", "/%76%31/embeddings/"])  # fmt: skip
def test_unknown_paths_are_404_and_empty(app: ASGIApp, path: str) -> None:
    for method in ("GET", "POST"):
        reply = request(app, method, path, b"{}")
        assert (reply.status, reply.content) == (404, b"")
        assert "location" not in reply.headers
        assert "content-type" not in reply.headers


@pytest.mark.parametrize(
    "path", ["/v1/embeddings/", "//v1/embeddings", "/v1//embeddings", "///v1/embeddings//?a=//"]
)
def test_a_base_url_may_end_in_a_slash(app: ASGIApp, path: str) -> None:
    plain = post(app, "/v1/embeddings", {"input": "a"})
    assert post(app, path, {"input": "a"}).content == plain.content
    assert request(app, "GET", path).headers["allow"] == "POST"
    answers = [
        line
        for line in request(app, "GET", "/metrics").text.splitlines()
        if line.startswith('te_http_response_count{path="') and "v1" in line
    ]
    assert answers == [
        'te_http_response_count{path="/v1/embeddings",status="200"} 2',
        'te_http_response_count{path="/v1/embeddings",status="405"} 1',
    ]


def test_so_may_that_of_every_route_of_such_a_dialect(make_service: MakeService) -> None:
    _, app = make_service(api_key="k", aip_predict_route="/v1//mine/", aip_health_route="/v1/")
    for path in ("/v1/rerank/", "//v2/rerank", "//v1/models", "/v1/mine"):
        assert request(app, "POST", path, b"{}").status in {401, 405}
    key = {"authorization": "Bearer k"}
    assert request(app, "GET", "//v1/models/", headers=key).json["object"] == "list"
    body = b'{"instances":[]}'
    assert request(app, "POST", "/v1/mine/", body, JSON | key).json == {"predictions": []}
    assert request(app, "POST", "/v1//mine/", body, JSON | key).json == {"predictions": []}
    assert request(app, "GET", "/v1/", headers={}).status == 200


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", "/embed", "POST"),
        ("PUT", "/v1/embeddings", "POST"),
        ("POST", "/health", "GET,HEAD"),
        ("DELETE", "/info", "GET,HEAD"),
        ("PATCH", "/", "POST,GET,HEAD"),
    ],
)
def test_other_methods_are_405_and_empty(app: ASGIApp, method: str, path: str, allow: str) -> None:
    reply = request(app, method, path, b"{}")
    assert (reply.status, reply.content, reply.headers["allow"]) == (405, b"", allow)


def test_head_is_answered_where_get_is(app: ASGIApp) -> None:
    assert request(app, "HEAD", "/info").status == 200
    assert request(app, "HEAD", "/health").status == 200
