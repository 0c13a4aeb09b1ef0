"""Rerankers of LiteLLM, Cohere, Haystack and LlamaIndex, in TEI's dialect and in Cohere's."""

import asyncio
from typing import Any

import cohere
import litellm
import pytest
from cohere.core.api_error import ApiError
from haystack import Document
from haystack_integrations.components.rankers.huggingface_api import (
    HuggingFaceTEIRanker,
    TruncationDirection,
)
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
from llama_index.postprocessor.tei_rerank import TextEmbeddingInference

from tests.clients.vectors import DOCUMENTS, QUERY, TOO_MANY, TOO_MANY_ERROR

Ranking = list[tuple[int, float]]


def near(ranking: Ranking) -> Any:
    """Compare places in order, with scores as close as float32 carries."""
    return [(index, pytest.approx(score, abs=1e-6)) for index, score in ranking]


def over_litellm(model: str, url: str, **extra: Any) -> Any:
    return litellm.rerank(
        model=model, query=QUERY, documents=DOCUMENTS, api_base=url, api_key="none", **extra
    )


@pytest.mark.parametrize(
    ("model", "path", "return_documents"),
    [
        ("huggingface/any", "", True),
        ("hosted_vllm/any", "", True),
        ("infinity/any", "", False),  # it wants documents as plain strings, the others as objects
        ("cohere/any", "", True),
        ("jina_ai/any", "/v1/rerank", True),
    ],
)
def test_litellm(
    reranker_url: str, model: str, path: str, return_documents: bool, ranking: Ranking
) -> None:
    answer = over_litellm(model, f"{reranker_url}{path}", return_documents=return_documents)
    found = [(one["index"], one["relevance_score"]) for one in answer.results]
    assert found == near(ranking)


def test_litellm_has_the_best_and_their_documents(reranker_url: str, ranking: Ranking) -> None:
    answer = over_litellm("cohere/any", reranker_url, top_n=2, return_documents=True)
    found = [(one["index"], one["document"]["text"]) for one in answer.results]
    assert found == [(index, DOCUMENTS[index]) for index, _ in ranking[:2]]


def test_cohere(reranker_url: str, ranking: Ranking) -> None:
    client = cohere.ClientV2(api_key="none", base_url=reranker_url)
    answer = client.rerank(model="any", query=QUERY, documents=DOCUMENTS)
    assert [(one.index, one.relevance_score) for one in answer.results] == near(ranking)
    best = client.rerank(model="any", query=QUERY, documents=DOCUMENTS, top_n=2)
    assert [one.index for one in best.results] == [index for index, _ in ranking[:2]]


def test_cohere_s_first_version_and_the_asynchronous_one(
    reranker_url: str, ranking: Ranking
) -> None:
    answer = cohere.Client(api_key="none", base_url=reranker_url).rerank(
        model="any", query=QUERY, documents=DOCUMENTS, return_documents=True
    )
    assert [(one.index, one.relevance_score) for one in answer.results] == near(ranking)
    assert [one.document.text for one in answer.results if one.document] == [
        DOCUMENTS[index] for index, _ in ranking
    ]

    async def ask() -> Any:
        async with cohere.AsyncClientV2(api_key="none", base_url=reranker_url) as client:
            return await client.rerank(model="any", query=QUERY, documents=DOCUMENTS)

    found = asyncio.run(ask()).results
    assert [(one.index, one.relevance_score) for one in found] == near(ranking)


def test_cohere_shows_the_reason_of_an_error(reranker_url: str) -> None:
    client = cohere.ClientV2(api_key="none", base_url=reranker_url)
    with pytest.raises(ApiError, match=TOO_MANY_ERROR):
        client.rerank(model="any", query=QUERY, documents=TOO_MANY)


@pytest.mark.parametrize("direction", [None, *TruncationDirection])
def test_haystack(reranker_url: str, ranking: Ranking, direction: Any) -> None:
    component = HuggingFaceTEIRanker(url=reranker_url, token=None)
    documents = [Document(content=text, meta={"index": i}) for i, text in enumerate(DOCUMENTS)]
    answer = component.run(QUERY, documents, top_k=4, truncation_direction=direction)
    found = [(one.meta["index"], one.score) for one in answer["documents"]]
    assert found == near(ranking[:4])


def test_llama_index(reranker_url: str, ranking: Ranking) -> None:
    component = TextEmbeddingInference(base_url=reranker_url, top_n=3)
    nodes = [
        NodeWithScore(node=TextNode(text=text, id_=str(i))) for i, text in enumerate(DOCUMENTS)
    ]
    answer = component.postprocess_nodes(nodes, QueryBundle(QUERY))
    assert [(int(one.node.node_id), one.score) for one in answer] == near(ranking[:3])
