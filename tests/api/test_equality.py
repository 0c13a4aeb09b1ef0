"""Served vectors equal those of sentence-transformers: the real model, over HTTP, in any order."""

import random
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import openai
import pytest
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer

from app.model.lookup import repository
from app.model.manifest import Manifest
from export.source.default_model import DEFAULT_MODEL_ID, installed
from tools.process import ROOT, Server
from tools.texts import passages

TEXTS = [
    *passages(50, longest_words=400),
    "Hello, world!",
    "ok",
    "Où est la bibliothèque ?",
    "Быстрая коричневая лиса",
    "今天天气很好。",
    "🙂🚀",
    "2 + 2 == 4  # true",
]


EXACT = ("--model-id", DEFAULT_MODEL_ID, "--models-dir", str(ROOT / "models"), "--dtype", "float32")


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(*EXACT) as running:
        running.wait_ready()
        yield running


@pytest.fixture(scope="module")
def reference() -> NDArray[np.float32]:
    folder = installed()
    assert folder is not None
    model = SentenceTransformer(str(folder), device="cpu")
    return np.asarray(model.encode(TEXTS, batch_size=1, convert_to_numpy=True), np.float32)


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as made:
        yield made


def embed(client: openai.OpenAI, texts: Sequence[str]) -> NDArray[np.float32]:
    answer = client.embeddings.create(model="any", input=list(texts))
    return np.array([item.embedding for item in answer.data], np.float32)


def worst_cosine(left: NDArray[np.float32], right: NDArray[np.float32]) -> float:
    return float(np.einsum("nd,nd->n", left.astype(float), right.astype(float)).min())


def test_texts_alone_equal_sentence_transformers(
    client: openai.OpenAI, reference: NDArray[np.float32]
) -> None:
    served = np.concatenate([embed(client, [text]) for text in TEXTS])
    assert worst_cosine(served, reference) >= 0.99999
    np.testing.assert_allclose(served, reference, atol=1e-5)


@pytest.mark.slow
def test_batches_in_any_order_at_once_equal_sentence_transformers(
    client: openai.OpenAI, reference: NDArray[np.float32]
) -> None:
    order = random.Random(1).sample(range(len(TEXTS)), len(TEXTS))
    groups = [order[start : start + 32] for start in range(0, len(order), 32)]
    with ThreadPoolExecutor(4) as pool:
        parts = list(pool.map(lambda group: embed(client, [TEXTS[i] for i in group]), groups))
    served = np.empty_like(reference)
    served[order] = np.concatenate(parts)
    assert worst_cosine(served, reference) >= 0.99999
    np.testing.assert_allclose(served, reference, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    "threads", [*(pytest.param(few, marks=pytest.mark.slow) for few in (0, 1)), 3]
)
def test_a_vector_is_the_same_in_any_batch_after_any_start_on_any_threads(
    client: openai.OpenAI, threads: int
) -> None:
    some = TEXTS[::16]
    before = np.concatenate([embed(client, [text]) for text in some])
    other = Server(*EXACT, "--threads", str(threads))
    dice = random.Random(threads)
    try:
        other.wait_ready()
        with openai.OpenAI(base_url=f"{other.url}/v1", api_key="none", max_retries=0) as asking:
            alone = np.concatenate([embed(asking, [text]) for text in some])
            assert worst_cosine(alone, before) >= 0.999999
            for _ in range(2):
                company = dice.sample(TEXTS, 12)
                order = dice.sample(range(12 + len(some)), 12 + len(some))
                mixed = np.empty((len(order), alone.shape[1]), np.float32)
                mixed[order] = embed(asking, [[*some, *company][place] for place in order])
                assert worst_cosine(mixed[: len(some)], before) >= 0.999999
    finally:
        other.stop()


def test_the_openai_client_gets_the_same_vector_in_either_format(client: openai.OpenAI) -> None:
    texts = ["Hello, world!", "ok"]
    as_floats = client.embeddings.create(model="any", input=texts, encoding_format="float")
    floats = np.array([item.embedding for item in as_floats.data], np.float32)
    np.testing.assert_array_equal(embed(client, texts), floats)  # base64 by default
    assert as_floats.usage.prompt_tokens == 6 + 3


def test_the_openai_client_shows_the_reason_of_an_error(client: openai.OpenAI) -> None:
    with pytest.raises(openai.UnprocessableEntityError, match="batch size 2049 > maximum allowed"):
        client.embeddings.create(model="any", input=["a"] * 2049)
    with pytest.raises(openai.BadRequestError, match="`inputs` cannot be empty"):
        client.embeddings.create(model="any", input="")


def test_the_exported_model_carries_its_proof() -> None:
    folder = repository.find(DEFAULT_MODEL_ID, None, Path(ROOT / "models"))
    assert folder is not None
    certificate = Manifest.read(folder).certificates[0]
    assert (certificate.provider, certificate.compute_dtype) == ("cpu", "float32")
    assert certificate.worst_cosine >= 0.99999
    assert certificate.largest_error <= 1e-5
    assert certificate.probes >= 500
    assert certificate.reference == "sentence-transformers"
