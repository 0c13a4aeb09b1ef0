"""Node's openai, in three major versions, the AI SDK, and @huggingface/inference."""

import json
import subprocess
from typing import Any

import pytest

from tests.clients.vectors import (
    OPENAI_TOO_MANY,
    OPENAI_TOO_MANY_ERROR,
    TEXTS,
    TOO_MANY,
    TOO_MANY_ERROR,
    assert_same,
)
from tools.process import ROOT

OPENAI = ["openai4", "openai6", "openai"]


def node(script: str, argument: str, url: str, request: Any, key: str = "none") -> Any:
    """Return the output of a script, run in a process of its own."""
    done = subprocess.run(
        ["node", script, argument],  # noqa: S607 - found as a user finds it
        cwd=ROOT / "tests" / "clients",
        input=json.dumps({"url": url, "key": key, "request": request}),
        stdout=subprocess.PIPE,
        text=True,
        timeout=60,
        check=True,
    )
    return json.loads(done.stdout)


@pytest.mark.parametrize("encoding", [{}, {"encoding_format": "float"}], ids=["base64", "float"])
@pytest.mark.parametrize("package", OPENAI)
def test_openai(
    package: str, encoding: dict[str, str], url: str, reference: list[list[float]]
) -> None:
    answer = node("openai.mjs", package, url, {"model": "any", "input": TEXTS, **encoding})
    assert_same(answer["vectors"], reference)
    assert answer["usage"]["total_tokens"] > len(TEXTS)


@pytest.mark.parametrize("package", OPENAI)
def test_one_text_over_openai(package: str, url: str, reference: list[list[float]]) -> None:
    answer = node("openai.mjs", package, url, {"model": "any", "input": TEXTS[0]})
    assert_same(answer["vectors"], reference[:1])


@pytest.mark.parametrize("package", OPENAI)
def test_openai_shows_the_reason_of_an_error(package: str, url: str) -> None:
    answer = node("openai.mjs", package, url, {"model": "any", "input": OPENAI_TOO_MANY})
    assert answer == {"status": 422, "message": f"422 {OPENAI_TOO_MANY_ERROR}"}


@pytest.mark.parametrize("package", OPENAI)
def test_openai_with_a_key(package: str, keyed_url: str, key: str) -> None:
    request = {"model": "any", "input": TEXTS}
    assert len(node("openai.mjs", package, keyed_url, request, key)["vectors"]) == len(TEXTS)
    assert node("openai.mjs", package, keyed_url, request, "wrong")["status"] == 401


def test_the_ai_sdk_in_its_own_batches(url: str, reference: list[list[float]]) -> None:
    answer = node("ai.mjs", "", url, {"values": TEXTS * 25})
    assert_same(answer["vectors"], reference * 25)
    assert answer["usage"]["tokens"] > 25 * len(TEXTS)


@pytest.mark.parametrize("path", ["", "/", "/embed"])
def test_huggingface(path: str, url: str, reference: list[list[float]]) -> None:
    request = {"inputs": TEXTS, "normalize": True, "truncate": True, "truncation_direction": "left"}
    answer = node("huggingface.mjs", "featureExtraction", f"{url}{path}", request)
    assert_same(answer["value"], reference)


def test_one_text_over_huggingface(url: str, reference: list[list[float]]) -> None:
    answer = node("huggingface.mjs", "featureExtraction", url, {"inputs": TEXTS[0]})
    assert_same(answer["value"], reference[:1])


def test_similarity_over_huggingface(url: str, similarities: list[float]) -> None:
    request = {"inputs": {"source_sentence": TEXTS[0], "sentences": TEXTS[1:]}}
    answer = node("huggingface.mjs", "sentenceSimilarity", f"{url}/similarity", request)
    assert answer["value"] == pytest.approx(similarities, abs=1e-5)


def test_similarity_at_the_root(similarity_url: str, similarities: list[float]) -> None:
    request = {"inputs": {"source_sentence": TEXTS[0], "sentences": TEXTS[1:]}}
    answer = node("huggingface.mjs", "sentenceSimilarity", similarity_url, request)
    assert answer["value"] == pytest.approx(similarities, abs=1e-5)


def test_huggingface_shows_the_reason_of_an_error(url: str) -> None:
    answer = node("huggingface.mjs", "featureExtraction", url, {"inputs": TOO_MANY})
    assert answer["status"] == 422
    assert TOO_MANY_ERROR in answer["message"]


def test_huggingface_with_a_key(keyed_url: str, key: str, reference: list[list[float]]) -> None:
    request = {"inputs": TEXTS}
    answer = node("huggingface.mjs", "featureExtraction", keyed_url, request, key)
    assert_same(answer["value"], reference)
    refused = node("huggingface.mjs", "featureExtraction", keyed_url, request, "wrong")
    assert refused["status"] == 401
