"""Vertex AI's envelope for any request."""

import json
from collections.abc import Callable

import numpy as np
from starlette.types import ASGIApp

from app.api.http.service import Service
from tests.api.conftest import MakeKind
from tests.support.scores import NOT_RERANKER, refused
from tools import tiny
from tools.asgi import post, request


def test_instances_are_answered_as_their_routes_would(make_kind: MakeKind) -> None:
    app = make_kind("embedding")
    answer = post(app, "/vertex", {"instances": [{"inputs": "a"}, {"inputs": ["b", "c"]}]}).json
    assert list(answer) == ["predictions"]
    one, two = answer["predictions"]
    np.testing.assert_allclose(one, post(app, "/embed", {"inputs": "a"}).json, atol=1e-6)
    assert len(two) == 2
    assert post(app, "/vertex", {"instances": []}).json == {"predictions": []}


def test_an_instance_that_looks_like_ranking_is_ranked(make_kind: MakeKind) -> None:
    body = {"instances": [{"query": "a", "texts": ["b"]}]}
    reply = post(make_kind("embedding"), "/vertex", body)
    assert refused(reply, 424, "Backend", NOT_RERANKER)
    ranked = post(make_kind("reranker"), "/vertex", body).json["predictions"]
    assert ranked[0][0]["index"] == 0


def test_an_instance_that_fits_nothing_is_422_json(make_kind: MakeKind) -> None:
    reply = post(
        make_kind("embedding"), "/vertex", {"instances": [{"inputs": "a"}, {"input": "a"}]}
    )
    assert refused(reply, 422, "Validation", "missing field `inputs`")


def test_instances_that_need_more_permits_than_are_free_run_not_at_all(
    make_service: Callable[..., tuple[Service, ASGIApp]],
) -> None:
    service, app = make_service(max_concurrent_requests=6)
    with service.model.engine.admission.permits.taken(4):
        reply = post(app, "/vertex", {"instances": [{"inputs": ["a", "b"]}] * 2})
    assert refused(reply, 429, "Overloaded", "Model is overloaded")
    assert reply.headers["retry-after"] == "1"
    text = request(app, "GET", "/metrics").text
    assert 'te_request_failure{err="overloaded"} 1' in text
    assert "te_request_count" not in text
    assert "te_permits_taken 0" in text
    assert post(app, "/vertex", {"instances": [{"inputs": ["a", "b"]}, {"inputs": "a"}]}).json


def test_vertex_s_own_paths(make_kind: MakeKind) -> None:
    app = make_kind("embedding", aip_predict_route="/p", aip_health_route="/h", api_key="k")
    assert request(app, "GET", "/h", headers={}).status == 200
    assert request(app, "POST", "/p", b"{}", headers={}).status == 401
    headers = {"authorization": "Bearer k", "content-type": "application/json"}
    body = json.dumps({"instances": []}).encode()
    assert request(app, "POST", "/p", body, headers).json == {"predictions": []}


def test_paths_of_vertex_that_are_there_already_keep_their_other_methods(
    make_kind: MakeKind,
) -> None:
    app = make_kind("embedding", aip_predict_route="/embed", aip_health_route="/")
    assert request(app, "GET", "/", headers={}).status == 200
    assert len(post(app, "/", {"inputs": "a"}).json[0]) == tiny.DIMENSIONS
    assert post(app, "/embed", {"instances": []}).json == {"predictions": []}
