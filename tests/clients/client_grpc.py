"""tei-client and Haystack over gRPC; Haystack learns the calls by reflection alone."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from haystack import Document
from haystack.utils import Secret
from haystack_integrations.components.embedders.huggingface_api import (
    HuggingFaceAPIDocumentEmbedder,
    HuggingFaceAPITextEmbedder,
)
from tei_client import GrpcClient, ModelType

from tests.clients.service import build_reranker, post, serve
from tests.clients.vectors import DOCUMENTS, QUERY, TEXTS, assert_same
from tools.process import free_port


@contextmanager
def serving(*models: str, **environment: str) -> Iterator[str]:
    """The address of the gRPC API of a server that is ready."""
    address = f"127.0.0.1:{free_port()}"
    with serve(*models, GRPC_PORT=address.rpartition(":")[2], **environment):
        with grpc.insecure_channel(address) as channel:
            grpc.channel_ready_future(channel).result(60)
        yield address


@pytest.fixture(scope="module")
def target() -> Iterator[str]:
    """A server without a key."""
    with serving() as address:
        yield address


@pytest.fixture(autouse=True)
def loop() -> Iterator[None]:
    """An event loop of the thread, which the client needs; `asyncio.run` leaves none behind."""
    found = asyncio.new_event_loop()
    asyncio.set_event_loop(found)
    yield
    asyncio.set_event_loop(None)
    found.close()


@pytest.fixture
def client(target: str) -> GrpcClient:
    return GrpcClient(target)


def test_vectors(client: GrpcClient, reference: list[list[float]]) -> None:
    assert client.model_type == ModelType.Embedding
    assert_same([list(one) for one in client.embed(TEXTS, truncate=True)], reference)


def test_asynchronous_vectors(target: str, reference: list[list[float]]) -> None:
    async def scenario() -> list[list[float]]:
        return [list(one) for one in await GrpcClient(target).async_embed(TEXTS, truncate=True)]

    assert_same(asyncio.run(scenario()), reference)


def test_tokens_and_back(client: GrpcClient, url: str) -> None:
    found = [[token.id for token in one.tokens] for one in client.tokenize(TEXTS)]
    expected = post(f"{url}/tokenize", {"inputs": TEXTS})
    assert found == [[token["id"] for token in one] for one in expected]
    assert client.decode(found) == post(f"{url}/decode", {"ids": found})


def test_a_vector_for_each_token(client: GrpcClient, url: str) -> None:
    [found] = client.embed_all(TEXTS[0])
    [expected] = post(f"{url}/embed_all", {"inputs": TEXTS[0]})
    assert_same([list(one) for one in found], expected)


def test_ranks(tmp_path: Path, ranking: list[tuple[int, float]]) -> None:
    build_reranker(tmp_path / "reranker")
    with serving(str(tmp_path / "reranker")) as address:
        found = GrpcClient(address).rerank(QUERY, DOCUMENTS)
    assert [one.index for one in found.ranks] == [place for place, _ in ranking]


def test_a_refusal_says_why(client: GrpcClient) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        client.embed("")
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert caught.value.details() == "Input validation error: `inputs` cannot be empty"


@pytest.mark.parametrize("with_key", [False, True])
def test_haystack(target: str, reference: list[list[float]], key: str, with_key: bool) -> None:
    if with_key:
        with serving(API_KEY=key) as address:
            _haystack(address, reference, Secret.from_token(key))
    else:
        _haystack(target, reference, None)


def _haystack(target: str, reference: list[list[float]], token: Secret | None) -> None:
    options = {
        "api_type": "text_embeddings_inference",
        "api_params": {"url": target},
        "token": token,
        "truncate": True,
        "normalize": True,
        "use_grpc": True,
    }
    text = HuggingFaceAPITextEmbedder(**options)
    assert_same([text.run(TEXTS[0])["embedding"]], reference[:1])
    documents = HuggingFaceAPIDocumentEmbedder(**options, progress_bar=False)
    answer = documents.run([Document(content=one) for one in TEXTS])
    assert_same([one.embedding for one in answer["documents"]], reference)
    answer = asyncio.run(documents.run_async([Document(content=one) for one in TEXTS]))
    assert_same([one.embedding for one in answer["documents"]], reference)
