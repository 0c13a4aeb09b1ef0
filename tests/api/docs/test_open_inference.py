"""The description of the Open Inference Protocol matches the answers of its paths."""

from typing import Any

import pytest
from jsonschema import Draft4Validator
from starlette.types import ASGIApp

from tests.api.conftest import MakeKind
from tests.support.description import document_of, expanded
from tools.asgi import post, request

INFER = "/v2/models/{model_name}/infer"


@pytest.fixture
def document(app: ASGIApp) -> Any:
    return document_of(app)


def schema_of(document: Any, path: str, method: str, status: str) -> Any:
    content = document["paths"][path][method]["responses"][status]["content"]
    return expanded(document, content["application/json"]["schema"])


@pytest.mark.parametrize(
    "path",
    [
        "/v2",
        "/v2/health/live",
        "/v2/health/ready",
        "/v2/models/{model_name}",
        "/v2/models/{model_name}/ready",
    ],
)
def test_metadata_are_what_is_described(app: ASGIApp, document: Any, path: str) -> None:
    name = request(app, "GET", "/info", headers={}).json["model_id"]
    found = request(app, "GET", path.replace("{model_name}", name), headers={}).json
    schema = schema_of(document, path, "get", "200")
    Draft4Validator(schema).validate(found)
    assert schema["required"] == list(found)


def test_an_answer_is_what_is_described(make_kind: MakeKind) -> None:
    app = make_kind("embedding", served_model_name="m")
    document = document_of(app)
    operation = document["paths"][INFER]["post"]
    examples = operation["requestBody"]["content"]["application/json"]["examples"]
    assert list(examples) == ["texts", "a vector in bytes", "texts for a query"]
    reply = post(app, "/v2/models/m/infer", examples["texts"]["value"])
    Draft4Validator(schema_of(document, INFER, "post", "200")).validate(reply.json)
    reply = post(app, "/v2/models/m/infer", examples["a vector in bytes"]["value"])
    assert reply.headers["content-type"] in operation["responses"]["200"]["content"]


def test_every_error_is_json(document: Any) -> None:
    responses = document["paths"][INFER]["post"]["responses"]
    assert set(responses) == {
        "200", "400", "404", "408", "413", "415", "422", "424", "429", "504"
    }  # fmt: skip
    for status in responses.keys() - {"200"}:
        assert set(responses[status]["content"]) == {"application/json"}
        assert schema_of(document, INFER, "post", status)["required"] == ["error"]


def test_the_header_and_the_binary_form_are_described(document: Any) -> None:
    operation = document["paths"][INFER]["post"]
    assert [(one["in"], one["name"]) for one in operation["parameters"]] == [
        ("path", "model_name"),
        ("header", "inference-header-content-length"),
    ]
    assert set(operation["requestBody"]["content"]) == {
        "application/json",
        "application/octet-stream",
    }


def test_it_is_described_at_the_root_alone(app: ASGIApp, document: Any, tiny_model: Any) -> None:
    assert len([path for path in document["paths"] if path.startswith("/v2/models")]) == 3
    below = request(app, "GET", f"/tei{tiny_model}/api-doc/openapi.json", headers={})
    assert not [path for path in below.json["paths"] if path.startswith("/v2/models")]
