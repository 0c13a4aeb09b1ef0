"""Files and batches in the API's description."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft4Validator
from starlette.types import ASGIApp

from app.api.http.service import Service
from tests.support.batches import NEW, form
from tests.support.description import document_of, expanded
from tools.asgi import post, request

MakeService = Callable[..., tuple[Service, ASGIApp]]
PATHS = {
    "/v1/files", "/v1/files/{id}", "/v1/files/{id}/content",
    "/v1/batches", "/v1/batches/{id}", "/v1/batches/{id}/cancel",
}  # fmt: skip


@pytest.fixture
def keeping(make_service: MakeService, tmp_path: Path) -> ASGIApp:
    return make_service(batch_dir=tmp_path)[1]


def test_they_are_described_where_they_are(app: ASGIApp, keeping: ASGIApp) -> None:
    plain, with_batches = document_of(app)["paths"], document_of(keeping)["paths"]
    assert not plain.keys() & PATHS
    assert with_batches.keys() - plain.keys() == PATHS
    methods = {(path, method) for path in PATHS for method in with_batches[path]}
    assert len(methods) == 9
    assert ("/v1/files/{id}", "delete") in methods


def test_answers_are_as_described(keeping: ASGIApp) -> None:
    document = document_of(keeping)

    def check(path: str, method: str, answer: Any, status: str = "200") -> None:
        response = document["paths"][path][method]["responses"][status]
        schema = expanded(document, response["content"]["application/json"]["schema"])
        Draft4Validator(_with_null(schema)).validate(answer)

    body, headers = form(b"{}\n")
    file = request(keeping, "POST", "/v1/files", body, headers).json
    batch = post(keeping, "/v1/batches", {**NEW, "input_file_id": file["id"]}).json
    check("/v1/files", "post", file)
    check("/v1/files", "get", request(keeping, "GET", "/v1/files").json)
    check("/v1/batches", "post", batch)
    check("/v1/batches", "get", request(keeping, "GET", "/v1/batches").json)
    check("/v1/batches", "post", post(keeping, "/v1/batches", {}).json, "400")
    check("/v1/batches/{id}", "get", request(keeping, "GET", "/v1/batches/x").json, "404")


def _with_null(schema: Any) -> Any:
    """Return the same schema, where `nullable` of OpenAPI 3.0 allows null."""
    if isinstance(schema, dict):
        inner = {key: _with_null(one) for key, one in schema.items()}
        return {"anyOf": [inner, {"type": "null"}]} if schema.get("nullable") else inner
    return [_with_null(one) for one in schema] if isinstance(schema, list) else schema
