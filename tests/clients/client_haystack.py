"""Haystack's embedders over the Hugging Face API and over OpenAI's."""

import asyncio

import pytest
from haystack import Document
from haystack.components.embedders import OpenAIDocumentEmbedder, OpenAITextEmbedder
from haystack.utils import Secret
from haystack_integrations.components.embedders.huggingface_api import (
    HuggingFaceAPIDocumentEmbedder,
    HuggingFaceAPITextEmbedder,
)
from huggingface_hub.errors import HfHubHTTPError

from tests.clients.vectors import TEXTS, TOO_MANY, TOO_MANY_ERROR, assert_same


def documents(texts: list[str]) -> list[Document]:
    return [Document(content=text) for text in texts]


def embedder(url: str, batch_size: int = 32) -> HuggingFaceAPIDocumentEmbedder:
    return HuggingFaceAPIDocumentEmbedder(
        api_type="text_embeddings_inference",
        api_params={"url": url},
        token=None,
        normalize=True,
        batch_size=batch_size,
        progress_bar=False,
    )


def test_a_text(url: str, reference: list[list[float]]) -> None:
    component = HuggingFaceAPITextEmbedder(
        api_type="text_embeddings_inference", api_params={"url": url}, token=None, normalize=True
    )
    assert_same([component.run(TEXTS[0])["embedding"]], reference[:1])


@pytest.mark.parametrize("batch_size", [1, 5, 32])
def test_documents(url: str, batch_size: int, reference: list[list[float]]) -> None:
    answer = embedder(url, batch_size).run(documents(TEXTS))
    assert_same([document.embedding for document in answer["documents"]], reference)


def test_asynchronous_documents(url: str, reference: list[list[float]]) -> None:
    answer = asyncio.run(embedder(url, 5).run_async(documents(TEXTS)))
    assert_same([document.embedding for document in answer["documents"]], reference)


def test_the_reason_of_an_error_is_shown(url: str) -> None:
    with pytest.raises(HfHubHTTPError, match=TOO_MANY_ERROR):
        embedder(url, 33).run(documents(TOO_MANY))


def test_a_text_over_openai(url: str, reference: list[list[float]]) -> None:
    component = OpenAITextEmbedder(
        api_key=Secret.from_token("none"), model="any", api_base_url=f"{url}/v1"
    )
    assert_same([component.run(TEXTS[0])["embedding"]], reference[:1])


def test_documents_over_openai(url: str, reference: list[list[float]]) -> None:
    component = OpenAIDocumentEmbedder(
        api_key=Secret.from_token("none"),
        model="any",
        api_base_url=f"{url}/v1",
        batch_size=5,
        progress_bar=False,
    )
    answer = component.run(documents(TEXTS))
    assert_same([document.embedding for document in answer["documents"]], reference)
    assert answer["meta"]["usage"]["total_tokens"] > len(TEXTS)
