"""langchain-openai, and langchain-huggingface over an InferenceClient."""

import asyncio

import openai
import pytest
from huggingface_hub import AsyncInferenceClient, InferenceClient
from huggingface_hub.errors import HfHubHTTPError
from langchain_huggingface import HuggingFaceEndpointEmbeddings
from langchain_openai import OpenAIEmbeddings

from tests.clients.service import MODEL
from tests.clients.vectors import (
    OPENAI_TOO_MANY,
    OPENAI_TOO_MANY_ERROR,
    TEXTS,
    TOO_MANY,
    TOO_MANY_ERROR,
    assert_same,
)


def over_openai(url: str, chunk_size: int = 1000) -> OpenAIEmbeddings:
    # By default it sends the ids of OpenAI's tokenizer, which mean other words here.
    return OpenAIEmbeddings(
        model="any",
        base_url=f"{url}/v1",
        api_key="none",
        check_embedding_ctx_length=False,
        chunk_size=chunk_size,
    )


def over_huggingface(url: str) -> HuggingFaceEndpointEmbeddings:
    # It takes no URL as its model since 1.2.2, but asks whatever client it is given.
    embeddings = HuggingFaceEndpointEmbeddings(model=MODEL)
    embeddings.client = InferenceClient(url)
    embeddings.async_client = AsyncInferenceClient(url)
    return embeddings


@pytest.mark.parametrize("chunk_size", [1000, 5])
def test_documents_over_openai(url: str, chunk_size: int, reference: list[list[float]]) -> None:
    assert_same(over_openai(url, chunk_size).embed_documents(TEXTS), reference)


def test_many_documents_over_openai_in_batches_of_its_own(
    url: str, reference: list[list[float]]
) -> None:
    embeddings = OpenAIEmbeddings(
        model="any",
        base_url=f"{url}/v1",
        api_key="none",
        check_embedding_ctx_length=False,
        max_retries=0,
    )
    assert_same(embeddings.embed_documents(TEXTS * 100), reference * 100)


def test_a_query_over_openai(url: str, reference: list[list[float]]) -> None:
    assert_same([over_openai(url).embed_query(TEXTS[0])], reference[:1])


def test_asynchronous_documents_over_openai(url: str, reference: list[list[float]]) -> None:
    assert_same(asyncio.run(over_openai(url).aembed_documents(TEXTS)), reference)


def test_the_reason_of_an_error_is_shown_over_openai(url: str) -> None:
    with pytest.raises(openai.UnprocessableEntityError, match=OPENAI_TOO_MANY_ERROR):
        over_openai(url, len(OPENAI_TOO_MANY)).embed_documents(OPENAI_TOO_MANY)


def test_documents_over_huggingface(url: str, reference: list[list[float]]) -> None:
    assert_same(over_huggingface(url).embed_documents(TEXTS), reference)


def test_a_query_over_huggingface(url: str, reference: list[list[float]]) -> None:
    assert_same([over_huggingface(url).embed_query(TEXTS[0])], reference[:1])


def test_asynchronous_documents_over_huggingface(url: str, reference: list[list[float]]) -> None:
    assert_same(asyncio.run(over_huggingface(url).aembed_documents(TEXTS)), reference)


def test_the_reason_of_an_error_is_shown_over_huggingface(url: str) -> None:
    with pytest.raises(HfHubHTTPError, match=TOO_MANY_ERROR):
        over_huggingface(url).embed_documents(TOO_MANY)
