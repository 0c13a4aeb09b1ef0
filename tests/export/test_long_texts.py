"""Long texts against a plain PyTorch reference that follows `docs/long-texts.md` alone.

A tiny BERT of 32 tokens: 30 of the text, 28 behind its prompt. Every word is one token.
"""

import asyncio
from collections.abc import Iterator
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from starlette.types import ASGIApp
from tokenizers import Tokenizer

from app.application import build, create_app
from app.options.settings import Settings
from tools.asgi import post

# The exporter uses functions that torch has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")

LENGTH, SHARE = 32, 4
PROMPT = "q: "
WORDS = ["rain", "song", "stage", "france", "paris", "market", "water", "sea", "dough", "train"]
BORDERS = [1, 29, 30, 31, 37, 53, 54, 60, 61, 76, 77, 200]  # words of a text
Vectors = NDArray[np.float32]


class Reference:
    """The checkpoint in PyTorch, and a text's vectors by definition."""

    def __init__(self, folder: Path) -> None:
        import torch
        import transformers

        library: Any = transformers
        self._torch = torch
        self._model = library.BertModel.from_pretrained(folder, add_pooling_layer=False).eval()
        self._tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))

    def ids(self, text: str) -> list[int]:
        found: list[int] = self._tokenizer.encode(text, add_special_tokens=False).ids
        return found

    def tokens(self, prompt: list[int], text: list[int]) -> Vectors:
        """The vectors of every token of a window, special tokens and the prompt included."""
        start, end = (self._tokenizer.token_to_id(name) for name in ("[CLS]", "[SEP]"))
        ids = self._torch.tensor([[start, *prompt, *text, end]])
        with self._torch.no_grad():
            found: Vectors = self._model(ids).last_hidden_state[0].numpy()
        return found

    def mean(self, text: str, prompt: str = "", width: int | None = None) -> Vectors:
        """The weighted mean of the vectors of consecutive windows, each at length 1."""
        before, ids = self.ids(prompt), self.ids(text)
        room = LENGTH - 2 - len(before)
        parts = [ids[at : at + room] for at in range(0, len(ids), room)]
        vectors = [unit(self.tokens(before, part).mean(axis=0)[:width]) for part in parts]
        return unit(np.average(vectors, axis=0, weights=[len(part) for part in parts]))

    def in_context(self, text: str, prompt: str = "") -> Vectors:
        """The vector of every token of a text, from the window with most context around it."""
        before, ids = self.ids(prompt), self.ids(text)
        room = min(LENGTH - 2 - len(before), len(ids))
        overlap = (LENGTH - 2 - len(before)) // SHARE
        count = ceil((len(ids) - overlap) / (room - overlap)) if len(ids) > room else 1
        found: list[Vectors] = []
        best = [-1] * len(ids)
        for place in range(count):
            start = place * (len(ids) - room) // (count - 1) if place else 0
            vectors = self.tokens(before, ids[start : start + room])[1 + len(before) : -1]
            for at, vector in enumerate(vectors, start):
                left = at - start if place else len(ids)
                right = start + room - 1 - at if place < count - 1 else len(ids)
                if at == len(found):
                    found.append(vector)
                if min(left, right) >= best[at]:
                    best[at], found[at] = min(left, right), vector
        return np.stack(found)


def unit(vector: Any) -> Vectors:
    found: Vectors = vector / np.linalg.norm(vector)
    return found


def words(count: int) -> str:
    chosen = np.random.default_rng(count).choice(WORDS, count)
    return " ".join(chosen)


def spans_of(text: str, words_each: int) -> list[tuple[int, int]]:
    """Return spans of a number of words each, with the space behind them."""
    starts = [0, *(place + 1 for place, one in enumerate(text) if one == " ")][::words_each]
    return list(zip(starts, [*starts[1:], len(text)], strict=True))


def chunk_means(vectors: Vectors, words_each: int) -> list[Vectors]:
    starts = range(0, len(vectors), words_each)
    return [unit(vectors[at : at + words_each].mean(axis=0)) for at in starts]


@pytest.fixture(scope="module")
def reference(bert: Path) -> Reference:
    return Reference(bert)


@pytest.fixture(scope="module")
def app(exported: Path) -> Iterator[ASGIApp]:
    settings = Settings(model_id=str(exported), dtype="float32", provider="cpu")
    service = build(settings, exported)
    yield create_app(service, settings)
    asyncio.run(service.model.close())


def answer(app: ASGIApp, body: dict[str, Any], path: str = "/embed") -> Any:
    reply = post(app, path, body)
    assert reply.status == 200, reply.text
    return reply.json


@pytest.mark.parametrize("count", BORDERS)
def test_a_mean_of_windows(app: ASGIApp, reference: Reference, count: int) -> None:
    text = words(count)
    found = answer(app, {"inputs": [text, "rain"], "overflow": "mean"})
    np.testing.assert_allclose(found[0], reference.mean(text), atol=1e-5)
    np.testing.assert_allclose(found[1], reference.mean("rain"), atol=1e-5)


def test_a_mean_of_windows_that_begin_with_a_prompt(app: ASGIApp, reference: Reference) -> None:
    text = words(75)
    body = {"inputs": text, "overflow": "mean", "prompt_name": "query", "dimensions": 7}
    expected = reference.mean(text, PROMPT, 7)
    np.testing.assert_allclose(answer(app, body)[0], expected, atol=1e-5)


def test_a_mean_without_length_1_is_of_such_vectors(app: ASGIApp, reference: Reference) -> None:
    text = words(40)
    found = answer(app, {"inputs": text, "overflow": "mean", "normalize": False})[0]
    ids = reference.ids(text)
    parts = [reference.tokens([], part).mean(axis=0) for part in (ids[:30], ids[30:])]
    expected = np.average(parts, axis=0, weights=[30, 10])
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("count", BORDERS)
@pytest.mark.parametrize("words_each", [1, 5])
def test_chunks_of_a_text(app: ASGIApp, reference: Reference, count: int, words_each: int) -> None:
    text = words(count)
    found = answer(app, {"inputs": text, "spans": spans_of(text, words_each)})
    expected = chunk_means(reference.in_context(text), words_each)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("count", [28, 29, 90])
def test_chunks_of_a_text_behind_a_prompt(app: ASGIApp, reference: Reference, count: int) -> None:
    text = words(count)
    found = answer(app, {"inputs": text, "spans": spans_of(text, 1), "prompt_name": "query"})
    expected = chunk_means(reference.in_context(text, PROMPT), 1)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_spans_that_overlap_in_any_order(app: ASGIApp, reference: Reference) -> None:
    text = words(70)
    vectors, places = reference.in_context(text), spans_of(text, 1)
    ranges = [(50, 70), (0, 70), (12, 40), (20, 21), (12, 40)]
    spans = [(places[start][0], places[stop - 1][1]) for start, stop in ranges]
    found = answer(app, {"inputs": text, "spans": spans, "normalize": False, "dimensions": 9})
    expected = [vectors[start:stop].mean(axis=0)[:9] for start, stop in ranges]
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("between", ["", " "])
def test_inputs_as_chunks_of_one_text(app: ASGIApp, reference: Reference, between: str) -> None:
    text = words(83)
    chunks = [text[start:stop].strip() + between for start, stop in spans_of(text, 6)]
    body = {"input": chunks, "late_chunking": True}
    found = [one["embedding"] for one in answer(app, body, "/v1/embeddings")["data"]]
    expected = chunk_means(reference.in_context(text), 6)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_context_is_what_it_is_for(app: ASGIApp) -> None:
    """The same chunk in other texts, and by itself, has other vectors."""
    by_itself = answer(app, {"inputs": "rain song"})[0]
    found = [
        answer(app, {"inputs": f"{before} rain song", "spans": [[len(before), len(before) + 10]]})[
            0
        ]
        for before in ("sea water", "paris france")
    ]
    for one, other in ((found[0], found[1]), (found[0], by_itself)):
        assert np.abs(np.array(one) - other).max() > 0.01
