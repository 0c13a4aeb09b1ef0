"""openai, synchronous and asynchronous, in base64 and in floats."""

import asyncio
import base64
from typing import Any

import numpy as np
import openai
import pytest

from tests.clients.service import MODEL, post
from tests.clients.vectors import OPENAI_TOO_MANY, OPENAI_TOO_MANY_ERROR, TEXTS, assert_same


def client(url: str, key: str = "none") -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{url}/v1", api_key=key)


def test_base64_is_its_default(url: str, reference: list[list[float]]) -> None:
    answer = client(url).embeddings.create(model="any", input=TEXTS)
    assert [item.index for item in answer.data] == list(range(len(TEXTS)))
    assert_same([item.embedding for item in answer.data], reference)
    assert answer.usage.total_tokens == answer.usage.prompt_tokens > len(TEXTS)


def test_floats(url: str, reference: list[list[float]]) -> None:
    answer = client(url).embeddings.create(model="any", input=TEXTS, encoding_format="float")
    assert_same([item.embedding for item in answer.data], reference)


def test_one_text(url: str, reference: list[list[float]]) -> None:
    answer = client(url).embeddings.create(model="any", input=TEXTS[0])
    assert_same([item.embedding for item in answer.data], reference[:1])


def test_the_path_without_v1(url: str, reference: list[list[float]]) -> None:
    answer = openai.OpenAI(base_url=f"{url}/", api_key="none").embeddings.create(
        model="any", input=TEXTS
    )
    assert_same([item.embedding for item in answer.data], reference)


def test_the_width_of_the_model(url: str, reference: list[list[float]]) -> None:
    answer = client(url).embeddings.create(model="any", input=TEXTS, dimensions=384)
    assert_same([item.embedding for item in answer.data], reference)


def test_token_ids_of_the_model(url: str, reference: list[list[float]]) -> None:
    tokens = post(f"{url}/tokenize", {"inputs": TEXTS[:1]})
    ids = [[token["id"] for token in text] for text in tokens]
    answer = client(url).embeddings.create(model="any", input=ids)
    assert_same([item.embedding for item in answer.data], reference[:1])


def test_asynchronous_requests_at_once(url: str, reference: list[list[float]]) -> None:
    async def embed() -> list[list[float]]:
        async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none") as asynchronous:
            answers = await asyncio.gather(
                *(asynchronous.embeddings.create(model="any", input=text) for text in TEXTS)
            )
        return [answer.data[0].embedding for answer in answers]

    assert_same(asyncio.run(embed()), reference)


def test_models_are_listed(url: str) -> None:
    assert [model.id for model in client(url).models.list()] == [MODEL]


def test_the_reason_of_an_error_is_shown(url: str) -> None:
    with pytest.raises(openai.UnprocessableEntityError, match=OPENAI_TOO_MANY_ERROR):
        client(url).embeddings.create(model="any", input=OPENAI_TOO_MANY)


def test_a_key(keyed_url: str, key: str) -> None:
    answer = client(keyed_url, key).embeddings.create(model="any", input=TEXTS)
    assert len(answer.data) == len(TEXTS)
    with pytest.raises(openai.AuthenticationError):
        client(keyed_url, "wrong").embeddings.create(model="any", input=TEXTS)


def test_types_of_number_by_extra_body(url: str, reference: list[list[float]]) -> None:
    """With `encoding_format`: without it the client asks for base64, and reads it as float32."""
    embeddings = client(url).embeddings
    bits = np.packbits(np.array(reference) > 0, axis=1)
    for encoding in ("float", "base64"):
        answer = embeddings.create(
            model="any",
            input=TEXTS,
            encoding_format=encoding,
            extra_body={"output_dtype": "ubinary"},
        )
        found: list[Any] = [one.embedding for one in answer.data]
        if encoding == "base64":
            found = [list(base64.b64decode(one)) for one in found]
        assert np.array_equal(found, bits)
    answer = embeddings.create(
        model="any", input=TEXTS, encoding_format="float", extra_body={"output_dtype": "int8"}
    )
    whole = post(f"{url}/embed", {"inputs": TEXTS, "output_dtype": "int8"})
    assert [one.embedding for one in answer.data] == whole
    with pytest.raises(openai.UnprocessableEntityError, match="unknown variant `int4`"):
        embeddings.create(model="any", input=TEXTS, extra_body={"output_dtype": "int4"})
