"""Combined options of one request: kinds of vectors, their type, and chunks."""

import base64
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from starlette.types import ASGIApp

from tests.api.conftest import MakeKind
from tools.asgi import post, request

TEXTS = ["the cat sat on the mat", "a"]
LONG = " ".join(["the", "cat", "sat", "on", "mat"] * 5)


def vectors(app: ASGIApp, **body: Any) -> Any:
    reply = post(app, "/embed", body)
    assert reply.status == 200, reply.text
    return reply.json


def test_the_type_is_that_of_dense_vectors_among_several_kinds(make_kind: MakeKind) -> None:
    app = make_kind("whole")
    kinds = {"output_types": ["dense", "sparse", "multi_vector"]}
    plain = vectors(app, inputs=TEXTS, **kinds)
    bits = vectors(app, inputs=TEXTS, output_dtype="ubinary", **kinds)
    for one, other in zip(plain, bits, strict=True):
        assert other["dense"] == np.packbits(np.array(one["dense"]) > 0).tolist()
        assert (other["sparse"], other["multi_vector"]) == (one["sparse"], one["multi_vector"])


def test_the_type_is_kept_in_base64_beside_other_kinds(make_kind: MakeKind) -> None:
    app = make_kind("whole")
    body = {"input": TEXTS, "output_types": ["dense", "multi_vector"], "output_dtype": "float16"}
    [encoded, _] = post(app, "/v1/embeddings", body | {"encoding_format": "base64"}).json["data"]
    [printed, _] = post(app, "/v1/embeddings", body).json["data"]

    def decoded(text: str, dtype: str) -> NDArray[Any]:
        return np.frombuffer(base64.b64decode(text), dtype)

    assert np.array_equal(
        decoded(encoded["embedding"], "<f2"), np.array(printed["embedding"], "<f2")
    )
    for text, row in zip(encoded["multi_vector"], printed["multi_vector"], strict=True):
        assert np.array_equal(decoded(text, "<f4"), np.array(row, "<f4"))


@pytest.mark.parametrize("path", ["/embed", "/v1/embeddings"])
def test_a_type_needs_dense_vectors(make_kind: MakeKind, path: str) -> None:
    body = {"inputs": "a", "input": "a", "output_types": ["sparse"], "output_dtype": "int8"}
    reply = post(make_kind("whole"), path, body)
    assert reply.status == 422
    assert (
        "Input validation error: `output_dtype` cannot be `int8`: it is for dense vectors, which "
        "`output_types` does not name" in reply.text
    )


def test_several_kinds_are_json_whatever_is_accepted(make_kind: MakeKind) -> None:
    app = make_kind("whole")
    body = b'{"inputs": "a", "output_types": ["dense"]}'
    accept = {"accept": "application/octet-stream", "content-type": "application/json"}
    reply = request(app, "POST", "/embed", body, accept)
    assert reply.headers["content-type"] == "application/json"
    assert list(reply.json[0]) == ["dense"]


@pytest.mark.parametrize("more", [{"overflow": "mean"}, {"spans": [[0, 7], [8, 40]]}])
def test_means_and_chunks_have_a_type_too(make_kind: MakeKind, more: dict[str, Any]) -> None:
    app = make_kind("embedding")
    found = np.array(vectors(app, inputs=LONG, **more))
    bits = vectors(app, inputs=LONG, output_dtype="ubinary", **more)
    assert bits == np.packbits(found > 0, axis=-1).tolist()
