"""LlamaIndex's class for TEI, which sends ten texts at a time."""

import asyncio

import pytest
from llama_index.embeddings.text_embeddings_inference import TextEmbeddingsInference

from tests.clients.vectors import TEXTS, assert_same


def embeddings(url: str, batch_size: int = 10) -> TextEmbeddingsInference:
    return TextEmbeddingsInference(
        model_name="any", base_url=url, timeout=60, embed_batch_size=batch_size
    )


@pytest.mark.parametrize("batch_size", [1, 10, 32])
def test_a_batch(url: str, batch_size: int, reference: list[list[float]]) -> None:
    assert_same(embeddings(url, batch_size).get_text_embedding_batch(TEXTS), reference)


def test_a_query(url: str, reference: list[list[float]]) -> None:
    assert_same([embeddings(url).get_query_embedding(TEXTS[0])], reference[:1])


def test_an_asynchronous_batch(url: str, reference: list[list[float]]) -> None:
    assert_same(asyncio.run(embeddings(url).aget_text_embedding_batch(TEXTS)), reference)
