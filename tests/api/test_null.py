"""An optional field may be `null`, which means absent; on every route."""

from collections.abc import Iterator
from typing import Any

import pytest
from starlette.types import ASGIApp

from tests.api.conftest import MakeKind
from tests.support.description import document_of, expanded
from tools import tiny
from tools.asgi import post, request

# The routes that each kind of model answers, and bodies without any optional field.
EMBEDDER = {"inputs": ["a", "the cat"]}
SIMILAR = {"inputs": {"source_sentence": "a", "sentences": ["the cat"]}}
RANK = {"query": "a", "texts": ["the cat", "a b"]}
RANK_DOCUMENTS = {"query": "a", "documents": ["the cat", {"text": "a b"}]}
ASKED: list[tuple[str, str, dict[str, Any]]] = [
    ("embedding", "/embed", EMBEDDER),
    ("embedding", "/embed_all", EMBEDDER),
    ("embedding", "/similarity", SIMILAR),
    ("embedding", "/similarity", SIMILAR | {"parameters": {}}),
    ("embedding", "/v1/embeddings", {"input": ["a", "the cat"]}),
    ("embedding", "/embeddings", {"input": "a"}),
    ("embedding", "/tokenize", EMBEDDER),
    ("embedding", "/decode", {"ids": [4, 5]}),
    ("splade", "/embed_sparse", EMBEDDER),
    ("classifier", "/predict", {"inputs": "the cat"}),
    ("reranker", "/rerank", RANK),
    ("reranker", "/rerank", RANK_DOCUMENTS),
    ("reranker", "/v1/rerank", RANK_DOCUMENTS),
    ("reranker", "/v2/rerank", RANK_DOCUMENTS),
]


def schemas(app: ASGIApp, path: str) -> list[Any]:
    """Return the schemas of a path's bodies in the API's description."""
    document = document_of(app)
    content = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]
    named = content["schema"].get("anyOf", [content["schema"]])
    return [expanded(document, one) for one in named]


def with_nulls(schema: Any, body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Return the body with each of its optional fields as null, also in the objects inside it."""
    for name, field in schema["properties"].items():
        inner = body.get(name)
        if isinstance(inner, dict):
            yield from ({**body, name: one} for one in with_nulls(field, inner))
        elif name not in schema.get("required", []):
            yield {**body, name: None}


@pytest.mark.parametrize(("kind", "path", "body"), ASKED)
def test_null_is_absent(make_kind: MakeKind, kind: str, path: str, body: dict[str, Any]) -> None:
    app = make_kind(kind)
    plain = post(app, path, body)
    assert plain.status == 200, plain.text
    asked = [
        one
        for schema in schemas(app, path)
        if set(schema["required"]) <= set(body)
        for one in with_nulls(schema, body)
    ]
    assert asked
    for one in asked:
        reply = post(app, path, one)
        assert (reply.status, reply.content) == (200, plain.content), one


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("embedding", EMBEDDER | {"normalize": None, "truncation_direction": None}),
        ("reranker", RANK | {"raw_scores": None, "return_text": None}),
    ],
)
def test_null_is_absent_in_an_instance_and_at_the_aliases_of_a_route(
    make_kind: MakeKind, kind: str, body: dict[str, Any]
) -> None:
    app = make_kind(kind)
    plain = {name: value for name, value in body.items() if value is not None}
    own = post(app, {"embedding": "/embed", "reranker": "/rerank"}[kind], plain)
    assert post(app, "/vertex", {"instances": [body]}).json == {"predictions": [own.json]}
    for path in ("/", "/invocations"):
        assert post(app, path, body).json == own.json


def test_options_of_the_service_apply_to_null_as_to_absence(make_kind: MakeKind) -> None:
    app = make_kind("embedding", auto_truncate=False, default_prompt_name="query")
    reply = post(app, "/embed", {"inputs": "a " * 20, "truncate": None})
    assert reply.status == 422
    length = len(tiny.ids_of("query: cat"))
    reply = post(app, "/embed", {"inputs": "cat", "truncate": None, "prompt_name": None})
    assert reply.headers["x-compute-tokens"] == str(length)


@pytest.mark.parametrize(
    ("kind", "path", "body", "field"),
    [
        ("embedding", "/embed", {"inputs": None}, "inputs"),
        ("embedding", "/v1/embeddings", {"input": None, "encoding_format": None}, "input"),
        ("embedding", "/similarity", {"inputs": None}, "inputs"),
        ("embedding", "/decode", {"ids": None}, "ids"),
        ("reranker", "/rerank", RANK | {"query": None}, "query"),
        ("reranker", "/rerank", RANK | {"texts": None}, "texts"),
        ("reranker", "/v1/rerank", RANK_DOCUMENTS | {"documents": None}, "documents"),
        ("embedding", "/vertex", {"instances": None}, "instances"),
    ],
)
def test_required_fields_may_not_be_null(
    make_kind: MakeKind, kind: str, path: str, body: dict[str, Any], field: str
) -> None:
    reply = post(make_kind(kind), path, body)
    assert reply.status == 422
    start = "Failed to deserialize the JSON body into the target type: "
    assert reply.text.startswith(f"{start}{field}: "), reply.text


def test_a_field_given_as_null_and_once_more_is_given_twice(make_kind: MakeKind) -> None:
    body = b'{"inputs":"a","normalize":null,"normalize":true}'
    reply = request(make_kind("embedding"), "POST", "/embed", body)
    assert (reply.status, "duplicate field `normalize`" in reply.text) == (422, True)
