"""Cohere's and LiteLLM's clients, asking for vectors in Cohere's dialect."""

import asyncio
import base64
from typing import Any

import cohere
import litellm
import numpy as np
import pytest
from cohere.core.api_error import ApiError
from cohere.errors import UnprocessableEntityError

from tests.clients.vectors import TEXTS, assert_same

COHERE_TOO_MANY = ["text"] * 97


def client(url: str) -> cohere.ClientV2:
    return cohere.ClientV2(api_key="none", base_url=url)


def test_every_type_at_once(url: str, reference: list[list[float]]) -> None:
    answer = client(url).embed(
        model="any",
        input_type="search_document",
        texts=TEXTS,
        embedding_types=["float", "int8", "uint8", "binary", "ubinary", "base64"],
    )
    found = answer.embeddings
    assert found.float_ is not None
    assert_same(found.float_, reference)
    floats = np.array(found.float_, np.float32)
    bits = np.packbits(floats > 0, axis=1)
    assert np.array_equal(found.ubinary, bits)
    assert np.array_equal(found.binary, bits.astype(int) - 128)
    assert np.array_equal(np.array(found.uint8), np.array(found.int8) + 128)
    cosines = _unit(np.array(found.int8)) * _unit(floats)
    assert cosines.sum(axis=1).min() > 0.999
    assert found.base64 is not None
    assert [base64.b64decode(one) for one in found.base64] == [row.tobytes() for row in floats]


def _unit(rows: Any) -> Any:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_what_else_it_reads(url: str) -> None:
    answer = client(url).embed(model="any", input_type="search_query", texts=TEXTS[:2])
    assert answer.response_type == "embeddings_by_type"
    assert answer.texts == TEXTS[:2]
    assert len(answer.id) == 36
    assert answer.meta is not None
    assert answer.meta.api_version is not None
    assert answer.meta.api_version.version == "2"
    assert answer.meta.billed_units is not None
    assert answer.meta.billed_units.input_tokens == 6 + 20
    assert answer.embeddings.int8 is None


def test_its_options(url: str, reference: list[list[float]]) -> None:
    answer = client(url).embed(
        model="any",
        input_type="clustering",
        texts=TEXTS[:1],
        output_dimension=64,
        truncate="NONE",
        max_tokens=512,
        priority=3,
    )
    assert answer.embeddings.float_ is not None
    assert_same(answer.embeddings.float_, _unit(np.array(reference)[:1, :64]))


def test_blocks_of_content(url: str, reference: list[list[float]]) -> None:
    blocks: Any = [{"content": [{"type": "text", "text": text}]} for text in TEXTS]
    answer = client(url).embed(model="any", input_type="search_document", inputs=blocks)
    assert answer.embeddings.float_ is not None
    assert_same(answer.embeddings.float_, reference)


def test_asynchronously(url: str, reference: list[list[float]]) -> None:
    async def ask() -> Any:
        async with cohere.AsyncClientV2(api_key="none", base_url=url) as asynchronous:
            return await asynchronous.embed(model="any", input_type="search_document", texts=TEXTS)

    assert_same(asyncio.run(ask()).embeddings.float_, reference)


def test_as_many_texts_as_cohere_takes_and_the_reason_for_more(url: str) -> None:
    answer = client(url).embed(
        model="any", input_type="search_document", texts=COHERE_TOO_MANY[:96]
    )
    assert answer.embeddings.float_ is not None
    assert len(answer.embeddings.float_) == 96
    with pytest.raises(UnprocessableEntityError) as refused:
        client(url).embed(model="any", input_type="search_document", texts=COHERE_TOO_MANY)
    assert refused.value.body == {
        "message": "batch size 97 > maximum allowed batch size 96; --max-client-batch-size raises it"
    }


def test_images_and_unknown_types_are_refused_with_the_reason(url: str) -> None:
    with pytest.raises(ApiError, match="images cannot be embedded"):
        client(url).embed(model="any", input_type="search_document", images=["data:,"])
    with pytest.raises(ApiError, match="unknown variant `int4`"):
        client(url).embed(
            model="any", input_type="search_document", texts=["a"], embedding_types=["int4"]
        )


def test_litellm(url: str, reference: list[list[float]]) -> None:
    answer = litellm.embedding(
        model="cohere/any", input=TEXTS, api_base=f"{url}/v2/embed", api_key="none"
    )
    assert_same([one["embedding"] for one in answer.data], reference)
    assert answer.usage is not None
    assert answer.usage.prompt_tokens > len(TEXTS)
