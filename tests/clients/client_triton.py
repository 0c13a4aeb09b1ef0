"""Triton's own HTTP client, as KServe's users have it: sync and asyncio, JSON and binary."""

import asyncio
import json
import re
import subprocess
import sys
from typing import Any

import numpy as np
import pytest
import tritonclient.http as triton
import tritonclient.http.aio as triton_aio
from numpy.typing import NDArray
from tritonclient.utils import InferenceServerException

from tests.clients.service import DENSE, MODEL, RANKS, post_octets
from tests.clients.vectors import (
    DOCUMENTS,
    OPENAI_TOO_MANY,
    QUERY,
    TEXTS,
    TOO_MANY,
    TOO_MANY_ERROR,
)
from tools.process import ROOT

WIDTH = 384


@pytest.fixture
def client(url: str) -> Any:
    with triton.InferenceServerClient(url.removeprefix("http://")) as opened:
        yield opened


@pytest.fixture(scope="session")
def octets(url: str) -> NDArray[np.float32]:
    """Return the vectors of TEXTS, by plain HTTP, as bytes."""
    return np.frombuffer(post_octets(f"{url}/embed", {"inputs": TEXTS}), "<f4").reshape(-1, WIDTH)


def tensor(name: str, texts: list[str], *, is_binary: bool = True, rows: bool = False) -> Any:
    array = np.array([one.encode() for one in texts], np.object_)
    array = array.reshape(-1, 1) if rows else array
    found = triton.InferInput(name, list(array.shape), "BYTES")
    return found.set_data_from_numpy(array, binary_data=is_binary)


def test_the_server_and_its_model(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready(MODEL)
    assert client.is_model_ready(MODEL, "1")
    assert not client.is_model_ready(MODEL, "2")
    assert not client.is_model_ready("another")
    server = client.get_server_metadata()
    assert server["name"] == "embedding-service"
    assert "binary_tensor_data" in server["extensions"]
    model = client.get_model_metadata(MODEL)
    assert model == client.get_model_metadata(MODEL, "1")
    assert model["name"] == MODEL
    assert model["inputs"] == [{"name": "text", "datatype": "BYTES", "shape": [-1]}]
    assert model["outputs"] == [{"name": "embedding", "datatype": "FP32", "shape": [-1, WIDTH]}]


@pytest.mark.parametrize("is_binary", [True, False])
@pytest.mark.parametrize("asks_binary", [True, False, None])
@pytest.mark.parametrize("rows", [True, False])
def test_vectors_are_those_of_embed_bit_for_bit(
    client: Any,
    octets: NDArray[np.float32],
    is_binary: bool,
    asks_binary: bool | None,
    rows: bool,
) -> None:
    inputs = [tensor("text", TEXTS, is_binary=is_binary, rows=rows)]
    outputs = None
    if asks_binary is not None:
        outputs = [triton.InferRequestedOutput("embedding", binary_data=asks_binary)]
    answer = client.infer(MODEL, inputs, model_version="1", outputs=outputs, request_id="a request")
    assert answer.get_response()["id"] == "a request"
    found = answer.as_numpy("embedding")
    assert found.dtype == np.float32
    assert np.array_equal(found.view(np.uint32), octets.view(np.uint32))


def test_parameters(client: Any, url: str) -> None:
    asked = {"normalize": False, "dimensions": 64, "truncate": True, "unknown": "whatever"}
    answer = client.infer(MODEL, [tensor("text", TEXTS)], parameters=asked, priority=1, timeout=9)
    expected = post_octets(f"{url}/embed", {"inputs": TEXTS, "normalize": False, "dimensions": 64})
    assert answer.as_numpy("embedding").tobytes() == expected


def test_many_requests_at_a_time(url: str, octets: NDArray[np.float32]) -> None:
    with triton.InferenceServerClient(url.removeprefix("http://"), concurrency=4) as client:
        waiting = [client.async_infer(MODEL, [tensor("text", TEXTS)]) for _ in range(12)]
        for one in waiting:
            found = one.get_result().as_numpy("embedding")
            np.testing.assert_allclose(found, octets, atol=1e-5)


def test_asynchronously(url: str, octets: NDArray[np.float32]) -> None:
    async def ask() -> Any:
        async with triton_aio.InferenceServerClient(url.removeprefix("http://")) as client:
            assert await client.is_server_live()
            assert await client.is_server_ready()
            assert await client.is_model_ready(MODEL)
            assert (await client.get_model_metadata(MODEL))["platform"] == "onnxruntime_onnx"
            binary = await client.infer(MODEL, [tensor("text", TEXTS)])
            plain = triton.InferRequestedOutput("embedding", binary_data=False)
            json_in = [tensor("text", TEXTS, is_binary=False)]
            in_json = await client.infer(MODEL, json_in, outputs=[plain])
            return binary.as_numpy("embedding"), in_json.as_numpy("embedding")

    for found in asyncio.run(ask()):
        assert np.array_equal(found, octets)


def test_a_model_by_its_name_among_several(both_url: str, ranking: list[tuple[int, float]]) -> None:
    with triton.InferenceServerClient(both_url.removeprefix("http://")) as client:
        assert client.is_model_ready(DENSE)
        assert client.get_model_metadata(RANKS)["outputs"][0]["name"] == "scores"
        inputs = [tensor("query", [QUERY]), tensor("text", DOCUMENTS)]
        answer = client.infer(RANKS, inputs)
        assert answer.get_response()["model_name"] == RANKS
        found = answer.as_numpy("scores")
        expected = np.zeros((len(DOCUMENTS), 1), np.float32)
        expected[[place for place, _ in ranking], 0] = [score for _, score in ranking]
        assert np.array_equal(found, expected)
        assert client.infer(DENSE, [tensor("text", TEXTS)]).as_numpy("embedding").shape == (
            len(TEXTS),
            WIDTH,
        )


def test_a_key(keyed_url: str, key: str) -> None:
    headers = {"Authorization": f"Bearer {key}"}
    with triton.InferenceServerClient(keyed_url.removeprefix("http://")) as client:
        assert client.is_server_ready()
        with pytest.raises(InferenceServerException) as refused:
            client.infer(MODEL, [tensor("text", TEXTS)])
        assert refused.value.status() == "401"
        assert client.infer(MODEL, [tensor("text", TEXTS)], headers=headers) is not None


def wrong_shape() -> Any:
    found = tensor("text", TEXTS)
    return found.set_shape([len(TEXTS) + 1])


def wrong_type() -> Any:
    found = triton.InferInput("text", [2], "FP32")
    return found.set_data_from_numpy(np.zeros(2, np.float32))


def not_utf_8() -> Any:
    array = np.array([b"\xff\xfe"], np.object_)
    return triton.InferInput("text", [1], "BYTES").set_data_from_numpy(array)


SHARED = triton.InferInput("text", [1], "BYTES").set_shared_memory("region", 8)


@pytest.mark.parametrize(
    ("made", "status", "message"),
    [
        (tensor("text", TOO_MANY), "422", TOO_MANY_ERROR),
        (tensor("words", TEXTS), "422", "there is no input `words`, but `text`"),
        (tensor("text", ["a", ""]), "400", "cannot be empty"),
        (wrong_shape(), "400", "the data ends within element 12 of 13"),
        (wrong_type(), "422", "the datatype `FP32`, and must have `BYTES`"),
        (not_utf_8(), "400", "element 0 is not UTF-8"),
        (SHARED, "422", "is in shared memory"),
        (tensor("text", OPENAI_TOO_MANY * 200), "413", "--payload-limit raises it"),
    ],
    ids=["many", "name", "empty", "shape", "type", "utf-8", "shared", "large"],
)
def test_the_reason_reaches_the_user(client: Any, made: Any, status: str, message: str) -> None:
    with pytest.raises(InferenceServerException) as refused:
        client.infer(MODEL, [made])
    assert refused.value.status() == status
    assert message in refused.value.message()


def test_other_faults_and_their_reasons(client: Any) -> None:
    inputs = [tensor("text", TEXTS)]
    with pytest.raises(InferenceServerException, match="The model `nope` does not exist"):
        client.infer("nope", inputs)
    with pytest.raises(InferenceServerException, match="The model `nope` does not exist"):
        client.get_model_metadata("nope")
    with pytest.raises(InferenceServerException, match="no output `x`, but `embedding`"):
        client.infer(MODEL, inputs, outputs=[triton.InferRequestedOutput("x")])
    with pytest.raises(InferenceServerException, match="`classification` of outputs"):
        client.infer(
            MODEL, inputs, outputs=[triton.InferRequestedOutput("embedding", class_count=3)]
        )
    for coding in ("gzip", "deflate"):
        with pytest.raises(InferenceServerException, match=f"`Content-Encoding: {coding}` is not"):
            client.infer(MODEL, inputs, request_compression_algorithm=coding)
        answer = client.infer(MODEL, inputs, response_compression_algorithm=coding)
        assert answer.as_numpy("embedding").shape == (len(TEXTS), WIDTH)


def test_the_examples_of_the_page(url: str) -> None:
    [shown] = re.findall(r"```python\n(.*?)```", (ROOT / "docs/kserve.md").read_text(), re.DOTALL)
    program = shown.replace("localhost:8000", url.removeprefix("http://"))
    program += "import json; print(json.dumps(vectors.tolist()))"
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
    expected = post_octets(f"{url}/embed", {"inputs": ["one text", "and another"]})
    assert np.array(json.loads(done.stdout), np.float32).tobytes() == expected
