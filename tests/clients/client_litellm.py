"""LiteLLM's providers: OpenAI's, and Hugging Face's."""

import asyncio

import litellm
import pytest

from tests.clients.vectors import (
    OPENAI_TOO_MANY,
    OPENAI_TOO_MANY_ERROR,
    TEXTS,
    TOO_MANY,
    TOO_MANY_ERROR,
    assert_same,
)

# The client asks the model hub for a model's task, unless it is told.
EMBED = {"model": "huggingface/any", "api_key": "none", "input_type": "feature-extraction"}


def over_openai(url: str) -> dict[str, str]:
    return {"model": "openai/any", "api_base": f"{url}/v1", "api_key": "none"}


def vectors(answer: litellm.EmbeddingResponse) -> list[list[float]]:
    return [item["embedding"] for item in answer.data]


def test_openai(url: str, reference: list[list[float]]) -> None:
    answer = litellm.embedding(input=TEXTS, **over_openai(url))
    assert_same(vectors(answer), reference)
    assert answer.usage.total_tokens > len(TEXTS)


def test_openai_in_base64(url: str) -> None:
    answer = litellm.embedding(input=TEXTS[:1], encoding_format="base64", **over_openai(url))
    assert isinstance(answer.data[0]["embedding"], str)


def test_openai_asynchronous(url: str, reference: list[list[float]]) -> None:
    assert_same(
        vectors(asyncio.run(litellm.aembedding(input=TEXTS, **over_openai(url)))), reference
    )


def test_the_reason_of_an_error_is_shown_over_openai(url: str) -> None:
    with pytest.raises(litellm.BadRequestError, match=OPENAI_TOO_MANY_ERROR):
        litellm.embedding(input=OPENAI_TOO_MANY, **over_openai(url))


@pytest.mark.parametrize("path", ["", "/embed"])
def test_huggingface(url: str, path: str, reference: list[list[float]]) -> None:
    assert_same(
        vectors(litellm.embedding(input=TEXTS, api_base=f"{url}{path}", **EMBED)), reference
    )


def test_huggingface_asynchronous(url: str, reference: list[list[float]]) -> None:
    answer = asyncio.run(litellm.aembedding(input=TEXTS, api_base=url, **EMBED))
    assert_same(vectors(answer), reference)


def test_similarity_over_huggingface(url: str, similarities: list[float]) -> None:
    answer = litellm.embedding(
        model="huggingface/sentence-transformers/any",
        input=TEXTS,
        api_base=f"{url}/similarity",
        api_key="none",
        input_type="sentence-similarity",
    )
    assert vectors(answer) == pytest.approx(similarities, abs=1e-5)


def test_the_reason_of_an_error_is_shown_over_huggingface(url: str) -> None:
    with pytest.raises(litellm.APIError, match=TOO_MANY_ERROR):
        litellm.embedding(input=TOO_MANY, api_base=url, **EMBED)
