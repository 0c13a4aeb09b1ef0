"""The API's description, as it is served."""

from collections.abc import Callable
from typing import Any

import pytest
from starlette.types import ASGIApp

from app.api.endpoints import Service
from tests.asgi import request

MakeService = Callable[..., tuple[Service, ASGIApp]]


@pytest.fixture
def document(app: ASGIApp) -> Any:
    reply = request(app, "GET", "/api-doc/openapi.json", headers={})
    assert (reply.status, reply.headers["content-type"]) == (200, "application/json")
    return reply.json


def body_of(document: Any, path: str) -> Any:
    content = document["paths"][path]["post"]["requestBody"]["content"]
    return content["application/json"]["schema"]


def test_every_route_but_aliases_and_envelopes_is_described(document: Any) -> None:
    assert document["openapi"] == "3.0.3"
    assert set(document["paths"]) == {
        "/decode", "/embed", "/embed_all", "/embed_sparse", "/embeddings", "/health", "/info",
        "/metrics", "/predict", "/rerank", "/similarity", "/tokenize", "/v1/embeddings",
        "/v1/models", "/v1/rerank", "/v2/rerank",
    }  # fmt: skip


def test_bodies_are_what_the_readers_read(document: Any) -> None:
    embed = body_of(document, "/embed")
    assert embed["required"] == ["inputs"]
    assert embed["properties"]["truncate"] == {"type": "boolean", "nullable": True}
    assert embed["properties"]["normalize"] == {"type": "boolean", "default": True}
    assert embed["properties"]["truncation_direction"] == {
        "type": "string",
        "enum": ["Left", "left", "Right", "right"],
        "default": "right",
    }
    assert embed["properties"]["dimensions"]["maximum"] == 2**64 - 1
    similarity = body_of(document, "/similarity")["properties"]
    assert similarity["inputs"]["required"] == ["source_sentence", "sentences"]
    assert similarity["parameters"]["nullable"] is True
    assert body_of(document, "/v1/embeddings")["required"] == ["input"]
    assert body_of(document, "/rerank")["required"] == ["query", "texts"]


def test_answers_and_errors_have_their_shapes(document: Any) -> None:
    responses = document["paths"]["/v1/embeddings"]["post"]["responses"]
    assert set(responses) == {"200", "400", "413", "415", "422", "424", "429"}
    answer = responses["200"]["content"]["application/json"]["schema"]
    assert answer["required"] == ["object", "data", "model", "usage"]
    error = responses["424"]["content"]["application/json"]["schema"]
    assert error["required"] == ["message", "code", "type", "error"]
    assert set(document["paths"]["/health"]["get"]["responses"]) == {"200", "503"}


def test_a_key_is_described_where_one_is_needed(make_service: MakeService) -> None:
    _, app = make_service(api_key="k")
    document = request(app, "GET", "/api-doc/openapi.json", headers={}).json
    assert document["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
    assert document["paths"]["/embed"]["post"]["security"] == [{"key": []}]
    assert "401" in document["paths"]["/info"]["get"]["responses"]
    assert "security" not in document["paths"]["/health"]["get"]
