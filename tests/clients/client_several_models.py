"""Two models in one process, asked at once by openai, cohere, huggingface_hub and LangChain."""

from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import cohere
import openai
import pytest
from cohere.core.api_error import ApiError
from huggingface_hub import InferenceClient
from langchain_huggingface import HuggingFaceEndpointEmbeddings

from tests.clients.service import DENSE, MODEL, RANKS, post
from tests.clients.vectors import DOCUMENTS, QUERY, TEXTS, assert_same

Ranking = list[tuple[int, float]]


def over_openai(url: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{url}/v1", api_key="none")


def embedded(url: str, model: str) -> list[list[float]]:
    answer = over_openai(url).embeddings.create(model=model, input=TEXTS)
    assert answer.model == DENSE
    return [item.embedding for item in answer.data]


def ranked(client: Any, model: str) -> Any:
    answer = client.rerank(model=model, query=QUERY, documents=DOCUMENTS)
    return [(one.index, pytest.approx(one.relevance_score, abs=1e-6)) for one in answer.results]


def test_openai_lists_both_and_finds_each(both_url: str) -> None:
    models = over_openai(both_url).models
    assert [one.id for one in models.list()] == [DENSE, RANKS]
    assert [models.retrieve(name).id for name in (DENSE, RANKS, MODEL)] == [DENSE, RANKS, DENSE]
    with pytest.raises(openai.NotFoundError) as caught:
        models.retrieve("nope")
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")


@pytest.mark.parametrize("model", [DENSE, MODEL])
def test_openai_embeds_by_name_and_by_id(
    both_url: str, model: str, reference: list[list[float]]
) -> None:
    assert_same(embedded(both_url, model), reference)


def test_an_unknown_name_is_not_found(both_url: str) -> None:
    with pytest.raises(openai.NotFoundError, match="The model `any` does not exist") as caught:
        embedded(both_url, "any")
    assert (caught.value.code, caught.value.type) == ("model_not_found", "invalid_request_error")
    with pytest.raises(ApiError, match="The model `any` does not exist"):
        ranked(cohere.ClientV2(api_key="none", base_url=both_url), "any")


def test_cohere_ranks_by_name(both_url: str, ranking: Ranking) -> None:
    for client in (cohere.ClientV2, cohere.Client):
        assert ranked(client(api_key="none", base_url=both_url), RANKS) == ranking


@pytest.mark.parametrize("path", ["", "/", "/embed"])
def test_huggingface_hub_embeds_below_the_path_of_a_model(
    both_url: str, path: str, reference: list[list[float]]
) -> None:
    # Types are checked against the version of this package in the project's environment.
    client: Any = InferenceClient(f"{both_url}/tei/{DENSE}{path}")
    assert_same(client.feature_extraction(TEXTS), reference)


def test_langchain_embeds_below_the_path_of_a_model(
    both_url: str, reference: list[list[float]]
) -> None:
    embeddings = HuggingFaceEndpointEmbeddings(model=MODEL)
    embeddings.client = InferenceClient(f"{both_url}/tei/{DENSE}")
    assert_same(embeddings.embed_documents(TEXTS), reference)


def test_openai_and_cohere_below_the_path_of_a_model(
    both_url: str, reference: list[list[float]], ranking: Ranking
) -> None:
    assert_same(embedded(f"{both_url}/tei/{DENSE}", "any"), reference)
    client = cohere.ClientV2(api_key="none", base_url=f"{both_url}/tei/{RANKS}")
    assert ranked(client, "any") == ranking


def test_a_flood_on_one_model_leaves_the_other_its_share(
    both_url: str, reference: list[list[float]], ranking: Ranking
) -> None:
    """Every answer is right, and the other model's come long before the flood ends."""
    hub: Any = InferenceClient(f"{both_url}/tei/{DENSE}")
    client = cohere.ClientV2(api_key="none", base_url=both_url)
    with ThreadPoolExecutor(8) as pool:
        flood = [
            asked
            for _ in range(20)
            for asked in (
                pool.submit(embedded, both_url, DENSE),
                pool.submit(hub.feature_extraction, TEXTS),
            )
        ]
        wait(flood[:8])
        for _ in range(5):
            assert ranked(client, RANKS) == ranking
            body = {"query": QUERY, "texts": DOCUMENTS}
            assert len(post(f"{both_url}/tei/{RANKS}/rerank", body)) == len(DOCUMENTS)
        assert not all(one.done() for one in flood)
        for one in flood:
            assert_same(one.result(), reference)
