"""huggingface_hub's InferenceClient, synchronous and asynchronous."""

import asyncio
from typing import Any

import numpy as np
import pytest
from huggingface_hub import AsyncInferenceClient, InferenceClient
from huggingface_hub.errors import HfHubHTTPError

from tests.clients.vectors import TEXTS, TOO_MANY, TOO_MANY_ERROR, assert_same


def client(url: str, token: str | None = None) -> Any:
    # Types are checked against the version of this package in the project's environment.
    return InferenceClient(url, token=token)


@pytest.mark.parametrize("path", ["", "/", "/embed"])
def test_a_batch(url: str, path: str, reference: list[list[float]]) -> None:
    assert_same(client(f"{url}{path}").feature_extraction(TEXTS), reference)


def test_texts_one_by_one(url: str, reference: list[list[float]]) -> None:
    hub = client(url)
    vectors = [hub.feature_extraction(text) for text in TEXTS]
    assert {vector.shape for vector in vectors} == {(1, 384)}
    assert_same(np.concatenate(vectors), reference)


def test_every_option(url: str, reference: list[list[float]]) -> None:
    vectors = client(url).feature_extraction(
        TEXTS, normalize=True, truncate=True, truncation_direction="right"
    )
    assert_same(vectors, reference)


def test_vectors_that_are_not_normalized(url: str, reference: list[list[float]]) -> None:
    raw = client(url).feature_extraction(TEXTS, normalize=False)
    lengths = np.linalg.norm(raw, axis=1, keepdims=True)
    assert np.abs(lengths - 1).min() > 0.01
    assert_same(raw / lengths, reference)


def test_asynchronous_requests_at_once(url: str, reference: list[list[float]]) -> None:
    async def embed() -> Any:
        async with AsyncInferenceClient(url) as hub:
            return await asyncio.gather(*(hub.feature_extraction(text) for text in TEXTS))

    assert_same(np.concatenate(asyncio.run(embed())), reference)


def test_similarity_at_its_own_path(url: str, similarities: list[float]) -> None:
    scores = client(f"{url}/similarity").sentence_similarity(TEXTS[0], TEXTS[1:])
    assert scores == pytest.approx(similarities, abs=1e-5)


def test_similarity_at_the_root(similarity_url: str, similarities: list[float]) -> None:
    scores = client(similarity_url).sentence_similarity(TEXTS[0], TEXTS[1:])
    assert scores == pytest.approx(similarities, abs=1e-5)


def test_the_reason_of_an_error_is_shown(url: str) -> None:
    with pytest.raises(HfHubHTTPError, match=TOO_MANY_ERROR):
        client(url).feature_extraction(TOO_MANY)


def test_a_key(keyed_url: str, key: str, reference: list[list[float]]) -> None:
    assert_same(client(keyed_url, key).feature_extraction(TEXTS), reference)
    with pytest.raises(HfHubHTTPError, match="401"):
        client(keyed_url, "wrong").feature_extraction(TEXTS)
