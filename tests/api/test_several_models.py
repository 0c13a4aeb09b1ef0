"""Several models in one service: each dialect finds its own, by name or by path."""

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.types import ASGIApp

from app.access.api_keys import from_flags
from app.api.http.service import Service
from app.application import build_each, create_app
from app.errors import StartupError
from app.options.settings import Settings
from tests.support.description import expanded
from tools import tiny
from tools.asgi import post, request
from tools.client import JSON

NAMES = ("org/dense", "ranks", "wide model")
EMBED = {"inputs": "the cat"}
RANK = {"query": "the cat", "texts": ["a", "b c"]}
DOCUMENTS = {"query": "the cat", "documents": ["a", "b c"]}


def serve(folders: list[Path], names: tuple[str, ...], **options: Any) -> tuple[Service, ASGIApp]:
    prepared = [
        (Settings(model_id=str(folder), served_model_name=name, **options), folder)
        for folder, name in zip(folders, names, strict=True)
    ]
    service = build_each(prepared)
    return service, create_app(service, prepared[0][0])


@pytest.fixture(scope="module")
def three(folders: dict[str, Path]) -> Iterator[tuple[Service, ASGIApp]]:
    """An embedder, a reranker, and an embedder that also gives sparse and token vectors."""
    service, app = serve([folders["embedding"], folders["reranker"], folders["whole"]], NAMES)
    yield service, app
    asyncio.run(service.models.close())


@pytest.fixture
def app(three: tuple[Service, ASGIApp]) -> ASGIApp:
    return three[1]


@pytest.fixture
def service(three: tuple[Service, ASGIApp]) -> Service:
    return three[0]


def properties(document: Any, path: str) -> Any:
    content = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]
    return expanded(document, content["schema"])["properties"]


@pytest.mark.parametrize("path", ["/v1/rerank", "/v2/rerank", "/rerank"])
def test_a_model_is_chosen_by_its_name_or_id(app: ASGIApp, service: Service, path: str) -> None:
    ranks = service.models.each[1]
    by_name = post(app, path, {**DOCUMENTS, "model": "ranks"})
    by_id = post(app, path, {**DOCUMENTS, "model": ranks.settings.model_id})
    assert by_name.status == by_id.status == 200
    assert by_name.json["model"] == "ranks"
    assert by_name.json == by_id.json
    assert by_name.headers["x-model-fingerprint"] == ranks.loaded.fingerprint


@pytest.mark.parametrize("path", ["/v1/embeddings", "/embeddings"])
@pytest.mark.parametrize("model", [{}, {"model": None}, {"model": ""}, {"model": NAMES[0]}])
def test_without_a_name_the_first_is_meant(app: ASGIApp, path: str, model: Any) -> None:
    reply = post(app, path, {"input": "the cat", **model})
    assert (reply.status, reply.json["model"]) == (200, "org/dense")
    expected = tiny.unit(tiny.reference(tiny.ids_of("the cat")))
    np.testing.assert_allclose(reply.json["data"][0]["embedding"], expected, atol=1e-6)


def test_a_model_of_another_kind_answers_as_it_does_alone(app: ASGIApp) -> None:
    reply = post(app, "/v1/embeddings", {"input": "a", "model": "ranks"})
    assert (reply.status, reply.json["type"]) == (424, "Backend")
    reply = post(app, "/v2/rerank", DOCUMENTS)  # the first is no reranker
    assert (reply.status, reply.json["error"]) == (
        424,
        "Backend error: model is not a re-ranker model",
    )


def test_an_unknown_name_is_not_found_in_the_dialect_of_the_route(app: ASGIApp) -> None:
    fault = "The model `nope` does not exist; there are: `org/dense`, `ranks`, `wide model`"
    reply = post(app, "/v1/embeddings", {"input": "a", "model": "nope"})
    assert reply.status == 404
    assert reply.json == {
        "message": fault,
        "code": 404,
        "type": "Validation",
        "error": {
            "message": fault,
            "type": "invalid_request_error",
            "param": "model",
            "code": "model_not_found",
        },
    }
    reply = post(app, "/v2/rerank", {**DOCUMENTS, "model": "nope"})
    assert (reply.status, reply.json) == (404, {"error": fault, "error_type": "Validation"})


def test_a_name_that_is_not_found_is_shown_in_part(app: ASGIApp) -> None:
    reply = post(app, "/v1/embeddings", {"input": "a", "model": "é" * 10_000})
    assert reply.json["message"].startswith(f"The model `{'é' * 100}…` does not exist")


def test_tei_s_own_routes_ask_the_first(app: ASGIApp) -> None:
    assert post(app, "/embed", {**EMBED, "model": "ranks"}).status == 200
    assert request(app, "GET", "/info").json["served_model_name"] == "org/dense"
    assert post(app, "/rerank", RANK).status == 424


@pytest.mark.parametrize(
    ("base", "path", "body"),
    [
        ("/tei/org/dense", "/embed", EMBED),
        ("/tei/org/dense", "", EMBED),
        ("/tei/org/dense", "/", EMBED),
        ("/tei/org/dense", "/invocations", EMBED),
        ("/tei/org/dense", "/v1/embeddings", {"input": "a", "model": "whatever"}),
        ("/tei/org/dense", "/tokenize", {"inputs": "a"}),
        ("/tei/org/dense", "/vertex", {"instances": [EMBED]}),
        ("/tei/ranks", "/rerank", RANK),
        ("/tei/ranks", "/rerank", DOCUMENTS),
        ("/tei/ranks", "/predict", {"inputs": ["a", "b"]}),
        ("/tei/wide%20model", "/embed_sparse", EMBED),
        ("/tei/wide%20model", "/embed_all", EMBED),
    ],
)
def test_each_has_tei_s_routes_of_its_own(app: ASGIApp, base: str, path: str, body: Any) -> None:
    assert post(app, f"{base}{path}", body).status == 200
    assert request(app, "PUT", f"{base}{path}").status == 405


def test_each_tells_of_itself(app: ASGIApp) -> None:
    for base, name in (("org/dense", "org/dense"), ("wide%20model", "wide model")):
        assert request(app, "GET", f"/tei/{base}/info").json["served_model_name"] == name
        listed = request(app, "GET", f"/tei/{base}/v1/models").json["data"]
        assert [one["id"] for one in listed] == [name]
        for path in ("/health", "/ping", "/"):
            assert request(app, "GET", f"/tei/{base}{path}").status == 200


def test_each_is_described_with_its_own_limits(app: ASGIApp) -> None:
    for base in ("/tei/ranks", "/tei/wide%20model"):
        reply = request(app, "GET", f"{base}/docs")
        assert (reply.status, reply.headers["location"]) == (303, f"{base}/docs/")
        assert request(app, "GET", f"{base}/docs/").status == 200
        document = request(app, "GET", f"{base}/api-doc/openapi.json").json
        assert document["servers"] == [{"url": base}]
        assert "/embed" in document["paths"]
        assert "/metrics" not in document["paths"]
        assert "description" not in properties(document, "/v2/rerank")["model"]
    document = request(app, "GET", "/api-doc/openapi.json").json
    assert "servers" not in document
    assert properties(document, "/v2/rerank")["model"]["description"] == (
        "A model's name or id, by default the first: `org/dense`, `ranks`, `wide model`."
    )


@pytest.mark.parametrize(
    "path", ["/tei", "/tei/", "/tei/dense/embed", "/tei/ranks/metrics", "/tei/ranks/readyz", "/tei/wide model/embed"]
)  # fmt: skip
def test_other_paths_are_not_found(app: ASGIApp, path: str) -> None:
    assert (post(app, path, EMBED).status, request(app, "GET", path).status) == (404, 404)


def test_the_health_of_all_and_of_each(folders: dict[str, Path]) -> None:
    service, app = serve([folders["embedding"], folders["reranker"]], ("well", "lost"))
    assert request(app, "GET", "/readyz").status == 200
    service.models.each[1].worker.close()
    codes = {
        path: request(app, "GET", path).status
        for path in ("/tei/well/health", "/tei/lost/health", "/health", "/readyz", "/livez")
    }
    assert codes == {
        "/tei/well/health": 200,
        "/tei/lost/health": 503,
        "/health": 503,
        "/readyz": 503,
        "/livez": 200,
    }
    assert post(app, "/embed", EMBED).status == 200
    asyncio.run(service.models.close())


def test_models_whose_paths_are_the_same_are_refused(folders: dict[str, Path]) -> None:
    both = [folders["embedding"], folders["reranker"]]
    for names in (("/a", "a"), ("a", "a/docs")):
        with pytest.raises(StartupError, match="is another model's path already"):
            serve(both, names)


def test_one_model_has_its_path_too(folders: dict[str, Path]) -> None:
    service, app = serve([folders["embedding"]], ("org/dense",))
    assert post(app, "/tei/org/dense/embed", EMBED).content == post(app, "/embed", EMBED).content
    assert post(app, "/v1/embeddings", {"input": "a", "model": "any"}).status == 200
    asyncio.run(service.models.close())


def test_the_routes_of_each_need_the_key(folders: dict[str, Path]) -> None:
    both = [folders["embedding"], folders["reranker"]]
    service, app = serve(both, ("dense", "ranks"), api_key=from_flags(["secret"]))
    assert post(app, "/tei/ranks/rerank", RANK).status == 401
    assert request(app, "GET", "/tei/ranks/info").status == 401
    assert request(app, "GET", "/tei/ranks/health").status == 200
    assert request(app, "GET", "/tei/ranks/docs/").status == 200
    key = JSON | {"authorization": "Bearer secret"}
    assert request(app, "POST", "/tei/ranks/rerank", json.dumps(RANK).encode(), key).status == 200
    asyncio.run(service.models.close())


def test_metrics_name_the_model_of_each_request(folders: dict[str, Path]) -> None:
    service, app = serve([folders["embedding"], folders["reranker"]], ("dense", "ranks"))
    post(app, "/embed", EMBED)
    post(app, "/v1/embeddings", {"input": ["a", "b"], "model": "dense"})
    post(app, "/tei/ranks/rerank", RANK)
    post(app, "/v2/rerank", {**DOCUMENTS, "model": "ranks"})
    post(app, "/v2/rerank", {**DOCUMENTS, "model": "nope"})
    post(app, "/v2/rerank", {**DOCUMENTS, "model": "dense"})
    post(app, "/predict", {"inputs": 5})
    post(app, "/tei/ranks/tokenize", {"inputs": ""})
    lines = request(app, "GET", "/metrics").text.splitlines()
    asyncio.run(service.models.close())
    for line in (
        'te_request_count{model="dense",method="single"} 1',
        'te_request_count{model="dense",method="batch"} 1',
        'te_request_success{model="ranks",method="batch"} 2',
        'te_embed_success{model="dense"} 3',
        'te_predict_count{model="ranks"} 4',
        'te_request_input_length_count{model="dense"} 3',
        'te_request_input_length_bucket{model="ranks",le="+Inf"} 4',
        'te_batch_next_size_sum{model="ranks"} 4',
        'te_queue_size{model="dense"} 0',
        'te_request_failure{err="validation"} 1',  # of no model
        'te_request_failure{model="dense",err="model_type"} 1',
        'te_request_failure{model="ranks",err="tokenization"} 1',
        'te_run_timeouts{model="ranks"} 0',
        'te_shapes_wanted{model="dense"} 0',
        'te_http_response_count{path="/tei/ranks/rerank",status="200"} 1',
        "te_permits_taken 0",
    ):
        assert line in lines
    described = [one for one in lines if one.startswith("te_model_info{")]
    assert [re.findall(r'model="(\w+)"', one) for one in described] == [["dense"], ["ranks"]]


def test_a_span_names_its_model(app: ASGIApp, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "app.api.spans")
    post(app, "/embed", EMBED)
    post(app, "/tei/ranks/vertex", {"instances": [RANK]})
    post(app, "/v2/rerank", {**DOCUMENTS, "model": "ranks", "documents": []})
    post(app, "/tei/ranks/tokenize", {"inputs": ""})
    post(app, "/v2/rerank", {**DOCUMENTS, "model": "nope"})
    spans = [vars(one)["span"] for one in caplog.records]
    assert [(one["name"], one.get("model")) for one in spans] == [
        ("embed", "org/dense"),
        ("rerank", "ranks"),
        ("rerank_documents", "ranks"),
        ("tokenize", "ranks"),
        ("rerank_documents", None),
    ]


def test_one_model_is_named_nowhere_but_in_its_description(
    folders: dict[str, Path], caplog: pytest.LogCaptureFixture
) -> None:
    service, app = serve([folders["embedding"]], ("org/dense",))
    caplog.set_level("INFO", "app.api.spans")
    post(app, "/embed", EMBED)
    [one] = caplog.records
    assert "model" not in vars(one)["span"]
    text = request(app, "GET", "/metrics").text
    assert re.findall(r"^(\w+)\{model=", text, re.MULTILINE) == ["te_model_info"]
    asyncio.run(service.models.close())
