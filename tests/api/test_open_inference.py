"""The paths of the Open Inference Protocol: health, metadata, names, keys, and nearby paths."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from starlette.types import ASGIApp

from app import __version__
from app.api.http.service import Service
from app.application import build_each, create_app
from app.options.settings import Settings
from tests.support.tensors import output_of, tensor
from tools import tiny
from tools.asgi import post, request
from tools.client import Reply

MakeService = Callable[..., tuple[Service, ASGIApp]]
NAMES = ("org/dense", "ranks", "wide model")
INFER = {"inputs": [tensor("text", ["the cat"])]}


def get(app: ASGIApp, path: str) -> Reply:
    return request(app, "GET", path, headers={})


@pytest.fixture(scope="module")
def three(folders: dict[str, Path]) -> Iterator[ASGIApp]:
    """An embedder, a reranker, and an embedder of three kinds of vectors."""
    kinds = ("embedding", "reranker", "whole")
    prepared = [
        (Settings(model_id=str(folders[kind]), served_model_name=name), folders[kind])
        for kind, name in zip(kinds, NAMES, strict=True)
    ]
    service = build_each(prepared)
    yield create_app(service, prepared[0][0])
    asyncio.run(service.models.close())


def test_the_server_says_what_it_is(app: ASGIApp) -> None:
    assert get(app, "/v2").json == {
        "name": "embedding-service",
        "version": __version__,
        "extensions": ["binary_tensor_data", "parameters"],
    }


def test_a_model_says_what_it_takes_and_yields(app: ASGIApp, tiny_model: Path) -> None:
    assert get(app, f"/v2/models/{tiny_model}").json == {
        "name": str(tiny_model),
        "versions": ["1"],
        "platform": "onnxruntime_onnx",
        "inputs": [{"name": "text", "datatype": "BYTES", "shape": [-1]}],
        "outputs": [{"name": "embedding", "datatype": "FP32", "shape": [-1, tiny.DIMENSIONS]}],
    }


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("org/dense", "org/dense"),
        ("org%2Fdense", "org/dense"),
        ("ranks", "ranks"),
        ("ranks/versions/1", "ranks"),
        ("wide%20model", "wide model"),
        ("org/dense/versions/1", "org/dense"),
    ],
)
def test_a_path_names_the_model(three: ASGIApp, name: str, meant: str) -> None:
    path = f"/v2/models/{name}"
    assert get(three, path).json["name"] == meant
    assert get(three, f"{path}/").json["name"] == meant
    assert get(three, f"{path}/ready").status == 200
    inputs = INFER["inputs"] + ([tensor("query", ["a"])] if meant == "ranks" else [])
    answer, _ = output_of(post(three, f"{path}/infer", {"inputs": inputs}))
    assert (answer["model_name"], answer["model_version"]) == (meant, "1")


def test_each_model_answers_with_its_own(three: ASGIApp) -> None:
    found = [
        output_of(post(three, f"/v2/models/{name}/infer", INFER))[1].tobytes()
        for name in ("org/dense", "wide%20model")
    ]
    for vector, base in zip(found, ("org/dense", "wide%20model"), strict=True):
        reply = post(three, f"/tei/{base}/embed", {"inputs": "the cat"})
        body = {"inputs": [tensor("text", ["the cat"])]}
        again = output_of(post(three, f"/v2/models/{base}/infer", body))[1]
        assert again.tobytes() == vector
        assert again.tolist()[0] == pytest.approx(reply.json[0], abs=1e-7)


@pytest.mark.parametrize(
    "name", ["nope", "org", "ranks/versions/2", "ranks/versions/", "versions/1"]
)
def test_a_model_or_version_that_is_not_there_is_404(three: ASGIApp, name: str) -> None:
    shown = name.removesuffix("/")
    fault = f"The model `{shown}` does not exist; there are: `org/dense`, `ranks`, `wide model`"
    for reply in (
        get(three, f"/v2/models/{name}"),
        get(three, f"/v2/models/{name}/ready"),
        post(three, f"/v2/models/{name}/infer", INFER),
    ):
        assert (reply.status, reply.json) == (404, {"error": fault})


def test_one_model_answers_to_its_names_alone(make_service: MakeService, tiny_model: Path) -> None:
    """Unlike OpenAI's dialect: a client asks whether a model is ready by its name."""
    _, app = make_service(served_model_name="m")
    assert get(app, f"/v2/models/{tiny_model}/ready").status == 200
    assert get(app, "/v2/models/m/ready").status == 200
    assert get(app, "/v2/models/n/ready").status == 404
    assert post(app, "/v2/models/n/infer", INFER).status == 404


@pytest.mark.parametrize(
    ("path", "healthy", "draining"),
    [
        ("/v2/health/live", {"live": True}, 200),
        ("/v2/health/ready", {"ready": True}, 503),
        ("/v2/models/m/ready", {"name": "m", "ready": True}, 503),
    ],
)
def test_health_is_a_status(
    make_service: MakeService, path: str, healthy: Any, draining: int
) -> None:
    service, app = make_service(served_model_name="m")
    reply = get(app, path)
    assert (reply.status, reply.json) == (200, healthy)
    service.lifecycle.end()
    reply = get(app, path)
    assert reply.status == draining
    assert reply.json == healthy or reply.json["error"] == "unhealthy"


def test_a_model_that_fails_is_not_ready(make_service: MakeService) -> None:
    service, app = make_service(served_model_name="m")
    service.model.worker.close()
    for path in ("/v2/health/ready", "/v2/models/m/ready"):
        assert get(app, path).status == 503


def test_a_key_opens_all_but_health(make_service: MakeService) -> None:
    _, app = make_service(served_model_name="m", api_key="k")
    for path in ("/v2/health/live", "/v2/health/ready", "/v2/models/m/ready"):
        assert get(app, path).status == 200
    key = {"authorization": "Bearer k"}
    for path in ("/v2", "/v2/models/m", "/openai/v1/models"):
        assert get(app, path).status == 401
        assert request(app, "GET", path, headers=key).status == 200
    assert post(app, "/v2/models/m/infer", INFER).status == 401
    reply = request(app, "POST", "/v2/models/m/infer", b'{"inputs":[]}', key)
    assert reply.json["error"].endswith("the input `text` is missing")


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("GET", "/v2/models/m/infer", "POST"),
        ("POST", "/v2/models/m", "GET,HEAD"),
        ("POST", "/v2/models/m/ready", "GET,HEAD"),
        ("POST", "/v2", "GET,HEAD"),
    ],
)
def test_other_methods_are_405(app: ASGIApp, method: str, path: str, allow: str) -> None:
    reply = request(app, method, path)
    assert (reply.status, reply.headers["allow"]) == (405, allow)


@pytest.mark.parametrize("path", ["/v2/health", "/v2/models", "/v2/repository/index", "/openai"])
def test_paths_outside_the_protocol_are_not_found(app: ASGIApp, path: str) -> None:
    assert get(app, path).status == 404


def test_cohere_s_paths_stay(make_service: MakeService) -> None:
    _, app = make_service(served_model_name="m")
    answer = post(app, "/v2/embed", {"texts": ["the cat"]}).json
    _, rows = output_of(post(app, "/v2/models/m/infer", INFER))
    assert rows.tolist()[0] == pytest.approx(answer["embeddings"]["float"][0], abs=1e-7)
    assert post(app, "/v2/rerank", {"query": "a", "documents": ["b"]}).status == 424


OPENAI: list[tuple[str, Any]] = [
    ("/v1/embeddings", {"input": "the cat"}),
    ("/v1/embeddings", {"input": []}),
    ("/v1/rerank", {"query": "a", "documents": ["b"]}),
]


@pytest.mark.parametrize(("path", "body"), OPENAI)
def test_openai_s_paths_are_there_below_kserve_s_prefix(app: ASGIApp, path: str, body: Any) -> None:
    for spelled in (path, f"{path}/", f"/{path}"):
        plain, prefixed = post(app, path, body), post(app, f"/openai{spelled}", body)
        assert (prefixed.status, prefixed.content) == (plain.status, plain.content)


def test_so_is_the_list_of_models(three: ASGIApp) -> None:
    assert get(three, "/openai/v1/models").content == get(three, "/v1/models").content
    assert get(three, "/openai/v1/models/org/dense").json["id"] == "org/dense"
    body = {"input": "a", "model": "wide model"}
    assert post(three, "/openai/v1/embeddings", body).json["model"] == "wide model"


def test_a_platform_s_own_path_stays_beside_them(make_service: MakeService) -> None:
    _, app = make_service(
        served_model_name="m", aip_predict_route="/v2", aip_health_route="/v2/models/m"
    )
    assert post(app, "/v2", {"instances": []}).json == {"predictions": []}
    assert get(app, "/v2").json["name"] == "embedding-service"
    assert get(app, "/v2/models/m").content == b""
