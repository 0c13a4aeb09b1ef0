"""Vectors as plain bytes, for clients that accept those alone."""

import json
from typing import Any, get_args

import numpy as np
import pytest
from starlette.types import ASGIApp

from app.api.http.transport import WHOLE_BYTES
from app.model.names import OutputDtype
from tests.api.conftest import MakeKind
from tests.api.verbs.conftest import MakeService
from tools import tiny
from tools.asgi import post, request
from tools.client import JSON, Reply

TEXTS = ["the cat sat", "a b c d"]
OCTETS = "application/octet-stream"
DTYPES: tuple[OutputDtype, ...] = get_args(OutputDtype)


def accepting(app: ASGIApp, accept: str, body: Any, path: str = "/embed") -> Reply:
    headers = {**JSON, "Accept": accept}
    return request(app, "POST", path, json.dumps(body).encode(), headers)


@pytest.mark.parametrize("dtype", DTYPES)
def test_bytes_are_the_numbers_of_the_json_answer(ranged: ASGIApp, dtype: OutputDtype) -> None:
    body = {"inputs": TEXTS, "output_dtype": dtype, "dimensions": 9}
    numbers = np.array(post(ranged, "/embed", body).json)
    reply = accepting(ranged, OCTETS, body)
    assert (reply.status, reply.headers["content-type"]) == (200, OCTETS)
    named = reply.headers["x-embedding-dtype"]
    shape = tuple(map(int, reply.headers["x-embedding-shape"].split(",")))
    found = np.frombuffer(reply.content, np.dtype(named).newbyteorder("<")).reshape(shape)
    assert np.array_equal(found, numbers.astype(named))
    width = 2 if dtype in {"binary", "ubinary"} else 9
    assert (shape, len(reply.content)) == ((2, width), 2 * width * np.dtype(named).itemsize)


@pytest.mark.parametrize(
    ("dtype", "name"),
    [
        ("float", "float32"),
        ("float16", "float16"),
        ("int8", "int8"),
        ("uint8", "uint8"),
        ("binary", "int8"),
        ("ubinary", "uint8"),
    ],
)
def test_the_dtype_is_named_as_numpy_does(ranged: ASGIApp, dtype: str, name: str) -> None:
    reply = accepting(ranged, OCTETS, {"inputs": "a", "output_dtype": dtype})
    assert reply.headers["x-embedding-dtype"] == name


def test_the_other_headers_are_those_of_json(ranged: ASGIApp) -> None:
    plain = post(ranged, "/embed", {"inputs": TEXTS})
    reply = accepting(ranged, f" {OCTETS.title()} ", {"inputs": TEXTS})
    assert set(reply.headers) == {*plain.headers, "x-embedding-shape", "x-embedding-dtype"}
    assert reply.headers["content-length"] == str(2 * tiny.DIMENSIONS * 4)
    assert reply.headers["x-model-fingerprint"] == plain.headers["x-model-fingerprint"]


@pytest.mark.parametrize(
    "accept", ["*/*", "application/json", f"{OCTETS};q=0.5, application/json", "application/*", ""]
)
def test_other_accept_headers_get_json(ranged: ASGIApp, accept: str) -> None:
    plain = post(ranged, "/embed", {"inputs": TEXTS})
    reply = accepting(ranged, accept, {"inputs": TEXTS})
    assert (reply.headers["content-type"], reply.content) == ("application/json", plain.content)
    assert "x-embedding-shape" not in reply.headers


def test_other_routes_and_errors_are_json_all_the_same(ranged: ASGIApp) -> None:
    for path, body in (
        ("/v1/embeddings", {"input": TEXTS}),
        ("/embed_all", {"inputs": TEXTS}),
        ("/embed", {"inputs": ""}),
    ):
        reply = accepting(ranged, OCTETS, body, path)
        assert reply.headers["content-type"] == "application/json"
        assert reply.json == post(ranged, path, body).json


def test_the_root_of_an_embedder_has_bytes_too(ranged: ASGIApp) -> None:
    for path in ("/", "/invocations"):
        reply = accepting(ranged, OCTETS, {"inputs": TEXTS}, path)
        assert reply.content == accepting(ranged, OCTETS, {"inputs": TEXTS}).content


def test_splade_vectors_are_as_wide_as_the_vocabulary(make_kind: MakeKind) -> None:
    reply = accepting(make_kind("splade"), OCTETS, {"inputs": TEXTS, "normalize": False})
    assert reply.headers["x-embedding-shape"] == f"2,{len(tiny.WORDS)}"


def test_a_large_answer_comes_in_parts_without_its_length(make_service: MakeService) -> None:
    count = WHOLE_BYTES // (4 * tiny.DIMENSIONS) + 1
    _, app = make_service(max_client_batch_size=count, max_concurrent_requests=count)
    reply = accepting(app, OCTETS, {"inputs": ["the cat", *["a"] * (count - 1)]})
    assert reply.headers["x-embedding-shape"] == f"{count},{tiny.DIMENSIONS}"
    assert "content-length" not in reply.headers
    found = np.frombuffer(reply.content, "<f4").reshape(count, tiny.DIMENSIONS)
    few = post(app, "/embed", {"inputs": ["the cat", "a"]}).json
    np.testing.assert_allclose(found[:2], few, atol=1e-6)
    np.testing.assert_allclose(found[2:], np.tile(found[1], (count - 2, 1)), atol=1e-6)
