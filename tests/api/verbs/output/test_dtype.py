"""Vectors in the type that a request asks for, on every route that has dense ones."""

import asyncio
from base64 import b64decode
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from numpy.typing import NDArray
from starlette.types import ASGIApp

from app.api.verbs.output.dtype import in_dtype
from app.errors import NotFinite
from app.inference.computing import Computed, Timings
from app.model.names import OutputDtype
from app.model.quantization import quantized
from app.model.vectors import finish
from tests.api.conftest import MakeKind
from tests.api.verbs.conftest import RANGES, MakeRanged, MakeService
from tools import tiny
from tools.asgi import post

TEXTS = ["the cat sat", "a b c d", "hello world !"]
DTYPES: tuple[OutputDtype, ...] = get_args(OutputDtype)
# As NumPy names them, little-endian.
HELD = {
    "float": "<f4",
    "float16": "<f2",
    "int8": "i1",
    "uint8": "u1",
    "binary": "i1",
    "ubinary": "u1",
}


def floats(app: ASGIApp, **options: Any) -> NDArray[np.float32]:
    """Return the service's vectors of TEXTS as it prints them."""
    return np.array(post(app, "/embed", {"inputs": TEXTS, **options}).json, np.float32)


def embedded(app: ASGIApp, path: str, **options: Any) -> Any:
    """Return the vectors of TEXTS as JSON, from either route."""
    if path == "/embed":
        return post(app, path, {"inputs": TEXTS, **options}).json
    answer = post(app, path, {"input": TEXTS, **options}).json
    return [one["embedding"] for one in answer["data"]]


@pytest.mark.parametrize("path", ["/embed", "/v1/embeddings"])
@pytest.mark.parametrize("dimensions", [None, 9, 3, 1])
@pytest.mark.parametrize("dtype", DTYPES)
def test_vectors_are_cut_and_normalized_and_then_quantized(
    ranged: ASGIApp, path: str, dtype: OutputDtype, dimensions: int | None
) -> None:
    raw = floats(ranged, normalize=False)
    unit = finish(raw, normalize=True, dimensions=dimensions)
    expected = quantized(unit, dtype, RANGES)
    found = embedded(ranged, path, dimensions=dimensions, output_dtype=dtype)
    assert np.array_equal(np.array(found).astype(expected.dtype), expected)
    whole = float if dtype in {"float", "float16"} else int
    assert {type(number) for vector in found for number in vector} == {whole}


@pytest.mark.parametrize("dtype", DTYPES)
def test_base64_holds_the_little_endian_bytes_of_the_type(
    ranged: ASGIApp, dtype: OutputDtype
) -> None:
    expected = quantized(floats(ranged), dtype, RANGES)
    found = embedded(ranged, "/v1/embeddings", output_dtype=dtype, encoding_format="base64")
    for text, vector in zip(found, expected, strict=True):
        assert b64decode(text) == vector.astype(HELD[dtype]).tobytes()
        assert np.array_equal(np.frombuffer(b64decode(text), HELD[dtype]), vector)


def test_float_is_what_comes_unasked(ranged: ASGIApp) -> None:
    plain = post(ranged, "/embed", {"inputs": TEXTS})
    for dtype in ("float", None):
        assert post(ranged, "/embed", {"inputs": TEXTS, "output_dtype": dtype}).content == (
            plain.content
        )


def test_float16_is_printed_in_its_shortest_decimals(ranged: ASGIApp) -> None:
    halves = floats(ranged).astype(np.float16)
    text = post(ranged, "/embed", {"inputs": TEXTS, "output_dtype": "float16"}).text
    printed = text.strip("[]").replace("],[", ",").split(",")
    assert printed == [str(float(str(number))) for number in halves.ravel()]


@pytest.mark.parametrize("path", ["/", "/invocations"])
def test_other_paths_of_embed_know_the_types_too(ranged: ASGIApp, path: str) -> None:
    body = {"inputs": TEXTS, "output_dtype": "uint8"}
    assert post(ranged, path, body).content == post(ranged, "/embed", body).content
    envelope = post(ranged, "/vertex", {"instances": [body]}).json
    assert envelope == {"predictions": [post(ranged, "/embed", body).json]}


@pytest.mark.parametrize(
    ("path", "inputs"),
    [("/embed", "inputs"), ("/v1/embeddings", "input"), ("/embeddings", "input")],
)
def test_another_type_is_refused_with_those_there_are(
    ranged: ASGIApp, path: str, inputs: str
) -> None:
    reply = post(ranged, path, {inputs: "a", "output_dtype": "int4"})
    assert reply.status == 422
    assert (
        "output_dtype: unknown variant `int4`, expected one of `float`, `float16`, `int8`, "
        "`uint8`, `binary`, `ubinary`" in reply.text
    )


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_ranges_are_of_normalized_vectors(ranged: ASGIApp, dtype: str) -> None:
    reply = post(ranged, "/embed", {"inputs": "a", "normalize": False, "output_dtype": dtype})
    assert reply.status == 422
    assert reply.json == {
        "error": f"Input validation error: `normalize` cannot be false for `{dtype}` vectors, "
        "whose ranges are those of normalized ones",
        "error_type": "Validation",
    }


@pytest.mark.parametrize("dtype", ["float16", "binary", "ubinary"])
def test_the_other_types_need_no_normalization(ranged: ASGIApp, dtype: OutputDtype) -> None:
    expected = quantized(floats(ranged, normalize=False), dtype, None)
    found = embedded(ranged, "/embed", normalize=False, output_dtype=dtype)
    assert np.array_equal(np.array(found).astype(expected.dtype), expected)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_model_without_ranges_has_every_type_that_needs_none(
    make_ranged: MakeRanged, dtype: OutputDtype
) -> None:
    app = make_ranged(None)
    reply = post(app, "/embed", {"inputs": TEXTS, "output_dtype": dtype})
    if dtype not in {"int8", "uint8"}:
        assert reply.status == 200
    else:
        assert (reply.status, reply.json["error_type"]) == (424, "Backend")
        assert "export it again" in reply.json["error"]
        assert f"`{dtype}`" in reply.json["error"]


def test_values_beyond_float16_are_refused_naming_the_input(make_service: MakeService) -> None:
    service, _ = make_service()
    vectors = np.ones((5_000, tiny.DIMENSIONS), np.float32)
    vectors[3_001, 2] = 70_000  # not in the first group
    computed = Computed(vectors, (3,) * len(vectors), Timings(0, 0, 0))
    with pytest.raises(NotFinite, match="of input 3001 holds values too large for float16"):
        asyncio.run(in_dtype(service.model, computed, "float16"))
    bits = asyncio.run(in_dtype(service.model, computed, "ubinary"))
    assert np.array_equal(bits.value, np.full((5_000, tiny.DIMENSIONS // 8), 255))


def test_ranges_are_of_the_model_s_own_pooling(make_service: MakeService, tmp_path: Path) -> None:
    tiny.build(tmp_path / "model")
    _, app = make_service(model_id=str(tmp_path / "model"), pooling="cls")
    reply = post(app, "/embed", {"inputs": "a", "output_dtype": "int8"})
    assert (reply.status, reply.json["error"]) == (
        424,
        "Backend error: `int8` vectors are not available with --pooling cls: their ranges are "
        "those of mean pooling",
    )
    assert post(app, "/embed", {"inputs": "a", "output_dtype": "ubinary"}).status == 200


def test_models_of_other_kinds_say_that_they_are(make_kind: MakeKind) -> None:
    for kind in ("classifier", "reranker", "multi_vector"):
        reply = post(make_kind(kind), "/embed", {"inputs": "a", "output_dtype": "int8"})
        assert reply.status == 424
        assert "Model is not an embedding model" in reply.json["error"]


def test_bits_of_a_splade_vector_are_its_entries(make_kind: MakeKind) -> None:
    app = make_kind("splade")
    raw = {"inputs": TEXTS, "normalize": False}
    bits = post(app, "/embed", raw | {"output_dtype": "ubinary"}).json
    entries = np.array(post(app, "/embed", raw).json) > 0
    assert np.array_equal(
        np.unpackbits(np.array(bits, np.uint8), axis=1)[:, : entries.shape[1]], entries
    )
    assert post(app, "/embed", raw | {"output_dtype": "int8"}).status == 422
