"""Cohere's embeddings."""

import uuid
from base64 import b64decode
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.types import ASGIApp

from app.model.names import OutputDtype
from app.model.quantization import quantized
from app.model.vectors import finish
from tests.api.conftest import MakeKind
from tests.api.verbs.conftest import RANGES, MakeRanged, MakeService
from tools import tiny
from tools.asgi import post, request

TEXTS = ["the cat sat", "a b c d"]
TYPES: tuple[OutputDtype, ...] = ("float", "int8", "uint8", "binary", "ubinary")


def embed(app: ASGIApp, **body: Any) -> Any:
    reply = post(app, "/v2/embed", {"texts": TEXTS, **body})
    assert reply.status == 200, reply.text
    return reply.json


def floats(app: ASGIApp, **body: Any) -> list[list[float]]:
    found: list[list[float]] = embed(app, **body)["embeddings"]["float"]
    return found


def fault(app: ASGIApp, **body: Any) -> tuple[int, str]:
    """Return the status and the reason of a request that Cohere's dialect refuses."""
    reply = post(app, "/v2/embed", body)
    assert list(reply.json) == ["message"]
    return reply.status, reply.json["message"]


def test_the_answer_is_cohere_s(ranged: ASGIApp) -> None:
    answer = embed(ranged, model="any", input_type="search_document")
    assert list(answer) == ["id", "texts", "embeddings", "meta", "response_type"]
    assert str(uuid.UUID(answer["id"])) == answer["id"]
    assert answer["texts"] == TEXTS
    assert list(answer["embeddings"]) == ["float"]
    tokens = sum(len(tiny.ids_of(text)) for text in TEXTS)
    assert answer["meta"] == {
        "api_version": {"version": "2"},
        "billed_units": {"input_tokens": tokens},
    }
    assert answer["response_type"] == "embeddings_by_type"


@pytest.mark.parametrize("dimensions", [None, 3])
def test_vectors_come_in_every_type_asked_for(ranged: ASGIApp, dimensions: int | None) -> None:
    body = {"inputs": TEXTS, "normalize": False}
    raw = np.array(post(ranged, "/embed", body).json, np.float32)
    unit = finish(raw, normalize=True, dimensions=dimensions)
    names = ["ubinary", "base64", "int8", "float", "binary", "uint8", "int8"]
    found = embed(ranged, embedding_types=names, output_dimension=dimensions)["embeddings"]
    assert list(found) == ["ubinary", "base64", "int8", "float", "binary", "uint8"]
    for name in TYPES:
        expected = quantized(unit, name, RANGES)
        assert np.array_equal(np.array(found[name]).astype(expected.dtype), expected)
    assert [b64decode(one) for one in found["base64"]] == [
        vector.astype("<f4").tobytes() for vector in unit
    ]


def test_null_is_absent(ranged: ASGIApp) -> None:
    plain = embed(ranged)
    fields = (
        "model", "inputs", "images", "input_type", "embedding_types", "truncate",
        "output_dimension", "max_tokens", "priority",
    )  # fmt: skip
    assert embed(ranged, **dict.fromkeys(fields)) | {"id": plain["id"]} == plain
    assert embed(ranged, images=[], priority=7) | {"id": plain["id"]} == plain


def test_texts_may_be_blocks_of_content(ranged: ASGIApp) -> None:
    blocks = [{"content": [{"type": "text", "text": text}]} for text in TEXTS]
    answer = embed(ranged, texts=None, inputs=blocks)
    assert answer["texts"] == TEXTS
    assert answer["embeddings"]["float"] == floats(ranged)


PROMPTED = "query: the cat sat", "query: a b c d"


@pytest.mark.parametrize(
    ("prompts", "input_type", "expected"),
    [
        ({"query": "query: "}, "search_query", PROMPTED),
        ({"search_query": "query: ", "query": "a "}, "search_query", PROMPTED),
        ({"passage": "query: "}, "search_document", PROMPTED),
        ({"document": "query: ", "passage": "a "}, "search_document", PROMPTED),
        ({"search_document": "query: ", "document": "a "}, "search_document", PROMPTED),
        ({"Classification": "query: "}, "classification", PROMPTED),
        ({"clustering": "query: "}, "clustering", PROMPTED),
        ({"query": "query: "}, "clustering", TEXTS),
        ({"query": "query: "}, "search_document", TEXTS),
        ({"query": "query: "}, None, TEXTS),
    ],
)
def test_an_input_type_is_the_model_s_prompt_of_that_meaning(
    make_service: MakeService,
    tmp_path: Path,
    prompts: dict[str, str],
    input_type: str | None,
    expected: tuple[str, str],
) -> None:
    folder = tmp_path / "model"
    tiny.seal(folder, replace(tiny.build(folder), prompts=prompts))
    _, app = make_service(model_id=str(folder))
    found = floats(app, input_type=input_type)
    vectors = [tiny.unit(tiny.reference(tiny.ids_of(text))) for text in expected]
    np.testing.assert_allclose(found, vectors, atol=1e-6)


LONG = "a b c d e " * 4  # of which ten tokens are kept


def test_long_texts_are_cut_at_either_end_or_refused(ranged: ASGIApp) -> None:
    start, end = floats(ranged, texts=[LONG + "cat"]), floats(ranged, texts=["cat " + LONG])
    assert floats(ranged, texts=[LONG + "cat"], truncate="END") == start
    kept = floats(ranged, texts=["b c d e a b c d e cat"])
    np.testing.assert_allclose(
        floats(ranged, texts=[LONG + "cat"], truncate="START"), kept, atol=1e-6
    )
    assert not np.allclose(start, kept)
    assert not np.allclose(start, end)
    status, message = fault(ranged, texts=[LONG], truncate="NONE")
    assert status == 422
    assert "less than" in message


def test_as_many_texts_as_cohere_takes(make_service: MakeService) -> None:
    _, app = make_service(max_client_batch_size=4)
    assert len(floats(app, texts=["a"] * 96)) == 96
    status, message = fault(app, texts=["a"] * 97)
    assert status == 422
    assert message.startswith("batch size 97 > maximum allowed batch size 96")


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({}, 400, "`texts` cannot be empty"),
        ({"texts": []}, 400, "`texts` cannot be empty"),
        ({"texts": ["a", ""]}, 400, "`inputs` cannot be empty"),
        ({"texts": ["a"], "inputs": []}, 422, "`texts` and `inputs` cannot both be given"),
        (
            {"inputs": [{"content": []}]},
            422,
            "`inputs[0].content` holds 0 texts, and must hold one",
        ),
        (
            {"inputs": [{"content": [{"type": "text", "text": "a"}] * 2}]},
            422,
            "`inputs[0].content` holds 2 texts, and must hold one",
        ),
        (
            {"texts": ["a"], "embedding_types": []},
            422,
            "`embedding_types` must be one of `float`, `int8`, `uint8`, `binary`, `ubinary`, "
            "`base64`, or several of them",
        ),
        (
            {"texts": ["a"], "output_dimension": 17},
            422,
            "`output_dimension` is 17, and must be from 1 to 16",
        ),
        (
            {"texts": ["a"], "output_dimension": 0},
            422,
            "`output_dimension` is 0, and must be from 1 to 16",
        ),
        (
            {"texts": ["a"], "max_tokens": 11},
            422,
            "`max_tokens` is 11, and cannot be less than the 12 that the model takes: leave it out",
        ),
    ],
)
def test_invalid_values_are_refused_by_name(
    ranged: ASGIApp, body: dict[str, Any], status: int, message: str
) -> None:
    assert fault(ranged, **body) == (status, f"Input validation error: {message}")


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        (
            "embedding_types",
            ["float", "int4"],
            "embedding_types[1]: unknown variant `int4`, expected one of `float`",
        ),
        ("input_type", "image", "input_type: unknown variant `image`, expected one of `search_doc"),
        (
            "truncate",
            "end",
            "truncate: unknown variant `end`, expected one of `NONE`, `START`, `END`",
        ),
        ("images", ["data:"], "images: images cannot be embedded, expected `texts`"),
        ("output_dimension", -1, "output_dimension: invalid value: integer `-1`"),
        (
            "inputs",
            [{"content": [{"type": "image_url", "image_url": {"url": "data:"}}]}],
            "inputs[0].content[0].type: unknown variant `image_url`, expected `text`",
        ),
    ],
)
def test_unknown_values_are_refused_by_name(
    ranged: ASGIApp, field: str, value: Any, message: str
) -> None:
    reply = post(ranged, "/v2/embed", {"texts": ["a"], field: value})
    assert reply.status == 422
    assert message in reply.text


def test_a_field_of_a_block_that_stands_twice_is_refused(ranged: ASGIApp) -> None:
    body = b'{"inputs":[{"content":[{"type":"text","text":"a","text":"b"}]}]}'
    reply = request(ranged, "POST", "/v2/embed", body)
    assert reply.status == 422
    assert "inputs[0].content[0]: duplicate field `text`" in reply.text


def test_types_that_need_ranges_are_refused_without_them(make_ranged: MakeRanged) -> None:
    app = make_ranged(None)
    status, message = fault(app, texts=["a"], embedding_types=["float", "int8"])
    assert (status, "export it again" in message) == (424, True)
    assert list(embed(app, embedding_types=["float", "binary"])["embeddings"]) == [
        "float",
        "binary",
    ]


def test_models_of_other_kinds_are_refused(make_kind: MakeKind) -> None:
    for kind in ("classifier", "reranker", "multi_vector"):
        status, message = fault(make_kind(kind), texts=["a"])
        assert (status, "not an embedding model" in message) == (424, True)
