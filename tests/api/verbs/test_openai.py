"""OpenAI's embeddings."""

import base64
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.types import ASGIApp

from app.api.http.service import Service
from tests.api.conftest import MakeKind
from tools import tiny
from tools.asgi import post, request


def test_openai_s_route_needs_a_dense_embedder(make_kind: MakeKind) -> None:
    for task in ("splade", "classifier", "reranker", "multi_vector"):
        reply = post(make_kind(task), "/v1/embeddings", {"input": "a"})
        assert (reply.status, reply.json["type"]) == (424, "Backend")


def test_openai_s_route_takes_the_options_of_embed(make_kind: MakeKind) -> None:
    app = make_kind("embedding")

    def vector(**extra: Any) -> Any:
        body = {"input": "cat", **extra}
        return post(app, "/v1/embeddings", body).json["data"][0]["embedding"]

    prompted = tiny.reference(tiny.ids_of("query: cat"))
    np.testing.assert_allclose(vector(prompt_name="query"), tiny.unit(prompted), atol=1e-6)
    np.testing.assert_allclose(vector(input_type="query"), tiny.unit(prompted), atol=1e-6)
    assert vector(input_type="unknown") == vector(input_type=None) == vector()
    plain = vector(prompt_name="query", normalize=False)
    np.testing.assert_allclose(plain, prompted, atol=1e-6)
    reply = post(app, "/v1/embeddings", {"input": "a " * 20, "truncate": False})
    assert (reply.status, reply.json["type"]) == (422, "Validation")


MakeService = Callable[..., tuple[Service, ASGIApp]]


def test_a_name_may_end_in_the_side_of_the_texts(
    tmp_path: Path, make_service: MakeService, caplog: pytest.LogCaptureFixture
) -> None:
    manifest = replace(tiny.build(tmp_path), prompts={"query": "query: ", "document": "cat: "})
    tiny.seal(tmp_path, manifest)

    def vector(app: ASGIApp, model: str | None, **extra: Any) -> Any:
        body = {"input": "the cat", "model": model, **extra}
        reply = post(app, "/v1/embeddings", body).json
        assert reply["model"] == "org/my-passage"
        return pytest.approx(reply["data"][0]["embedding"], abs=1e-6)

    def expected(prompt: str) -> Any:
        return tiny.unit(tiny.reference(tiny.ids_of(f"{prompt}the cat"))).tolist()

    settings = {"model_id": str(tmp_path), "served_model_name": "org/my-passage"}
    _, app = make_service(default_prompt="a ", **settings)
    caplog.clear()
    assert vector(app, "org/my-passage-query") == expected("query: ")
    assert vector(app, "org/my-passage-passage") == expected("cat: ")
    assert vector(app, "org/my-passage") == expected("a ")
    assert vector(app, None) == expected("a ")
    assert [one.message for one in caplog.records if one.levelname == "WARNING"] == []
    assert vector(app, "any-query") == expected("query: ")
    # A field that names the side goes before it, unless it is empty.
    assert vector(app, "any-query", prompt_name="document") == expected("cat: ")
    assert vector(app, "any-query", input_type="document") == expected("cat: ")
    assert vector(app, "any-query", input_type="unknown") == expected("query: ")
    assert vector(app, "any-query", prompt_name=None, input_type=None) == expected("query: ")

    tiny.seal(tmp_path, replace(manifest, prompts={"query": "query: "}))
    _, app = make_service(default_prompt_name="query", **settings)
    assert vector(app, "any-passage") == expected("")
    assert vector(app, "any") == expected("query: ")


def expected(text: str, dimensions: int | None = None) -> Any:
    return tiny.unit(tiny.reference(tiny.ids_of(text))[:dimensions])


def test_openai_s_answer(app: ASGIApp) -> None:
    body = {"input": ["the cat", "a"], "model": "any", "user": "me"}
    answer = post(app, "/v1/embeddings", body).json
    assert list(answer) == ["object", "data", "model", "usage"]
    assert answer["object"] == "list"
    assert [list(item) for item in answer["data"]] == [["object", "embedding", "index"]] * 2
    assert [item["index"] for item in answer["data"]] == [0, 1]
    tokens = len(tiny.ids_of("the cat")) + len(tiny.ids_of("a"))
    assert answer["usage"] == {"prompt_tokens": tokens, "total_tokens": tokens}
    np.testing.assert_allclose(answer["data"][0]["embedding"], expected("the cat"), atol=1e-6)


@pytest.mark.parametrize("path", ["/v1/embeddings", "/embeddings"])
def test_base64_holds_little_endian_float32(app: ASGIApp, path: str) -> None:
    plain = post(app, path, {"input": "a b"}).json["data"][0]["embedding"]
    coded = post(app, path, {"input": "a b", "encoding_format": "base64"}).json
    decoded = np.frombuffer(base64.b64decode(coded["data"][0]["embedding"]), "<f4")
    np.testing.assert_array_equal(decoded, np.array(plain, np.float32))


def test_openai_s_dimensions(app: ASGIApp) -> None:
    body = {"input": "a b", "dimensions": 3}
    vector = post(app, "/v1/embeddings", body).json["data"][0]["embedding"]
    np.testing.assert_allclose(vector, expected("a b", 3), atol=1e-6)


def test_openai_s_errors_are_flat_and_carry_an_error_object(app: ASGIApp) -> None:
    reply = post(app, "/v1/embeddings", {"input": ""})
    text = "Input validation error: `inputs` cannot be empty"
    assert reply.status == 400
    assert reply.json == {
        "message": text,
        "code": 400,
        "type": "Empty",
        "error": {"message": text, "type": "Empty", "param": None, "code": 400},
    }


def test_answers_name_the_served_model(make_service: MakeService) -> None:
    _, app = make_service(served_model_name="mine")
    assert post(app, "/v1/embeddings", {"input": "a", "model": "theirs"}).json["model"] == "mine"
    assert request(app, "GET", "/info").json["served_model_name"] == "mine"
