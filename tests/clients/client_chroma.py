"""Chroma's embedding functions, on their own and inside a collection."""

import openai
import pytest
from chromadb import EphemeralClient
from chromadb.utils.embedding_functions import HuggingFaceEmbeddingServer, OpenAIEmbeddingFunction

from tests.clients.vectors import OPENAI_TOO_MANY, OPENAI_TOO_MANY_ERROR, TEXTS, assert_same


def over_openai(url: str) -> OpenAIEmbeddingFunction:
    return OpenAIEmbeddingFunction(api_key="none", model_name="any", api_base=f"{url}/v1")


def test_the_function_for_hugging_face_servers(url: str, reference: list[list[float]]) -> None:
    assert_same(HuggingFaceEmbeddingServer(url=f"{url}/embed")(TEXTS), reference)


def test_a_key(
    keyed_url: str, key: str, reference: list[list[float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHROMA_HUGGINGFACE_API_KEY", key)
    function = HuggingFaceEmbeddingServer(
        url=f"{keyed_url}/embed", api_key_env_var="CHROMA_HUGGINGFACE_API_KEY"
    )
    assert_same(function(TEXTS), reference)


def test_the_function_for_openai(url: str, reference: list[list[float]]) -> None:
    assert_same(over_openai(url)(TEXTS), reference)


def test_the_reason_of_an_error_is_shown(url: str) -> None:
    with pytest.raises(openai.UnprocessableEntityError, match=OPENAI_TOO_MANY_ERROR):
        over_openai(url)(OPENAI_TOO_MANY)


def test_a_collection_finds_each_text_by_itself(url: str) -> None:
    collection = EphemeralClient().create_collection(
        "texts", embedding_function=HuggingFaceEmbeddingServer(url=f"{url}/embed")
    )
    names = [str(number) for number in range(len(TEXTS))]
    collection.add(ids=names, documents=TEXTS)
    found = collection.query(query_texts=TEXTS, n_results=1)
    assert [ids[0] for ids in found["ids"]] == names
