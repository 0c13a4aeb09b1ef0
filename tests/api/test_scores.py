"""Scores: ranked by the computed logits, printed as the checkpoint and the request ask."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.types import ASGIApp

from app.api.http.service import Service
from app.model.manifest import CHATTING, Manifest
from app.model.names import Activation, Task
from app.model.pair_text import PairText
from tests.api.conftest import MakeKind
from tools import tiny
from tools.asgi import post, request

MakeService = Callable[..., tuple[Service, ASGIApp]]

SATURATING = 4_000  # the gain at which every score of `TEXTS` is printed as 0 or 1
QUERY = "dog"
TEXTS = ["the cat sat", "hello world", "a b c", "mat", "sat on the mat", "é", "query", "e d c b a"]
LABELS = tiny.LABELS["classifier"]


def logits(*texts: str, gain: int = SATURATING) -> Any:
    """Return the tiny reranker's logit of a pair, or the tiny classifier's logits of a text."""
    one = tiny.encoded(*texts)
    task: Task = "reranker" if len(texts) > 1 else "classifier"
    return tiny.logits(task, one.input_ids, one.token_type_ids, gain)


@pytest.fixture
def ranker(make_service: MakeService, tmp_path: Path) -> ASGIApp:
    """An application over a reranker whose scores are all 1."""
    tiny.build(tmp_path, "reranker", gain=SATURATING)
    return make_service(model_id=str(tmp_path))[1]


def best_first() -> list[int]:
    return sorted(range(len(TEXTS)), key=lambda place: -float(logits(QUERY, TEXTS[place])[0]))


def test_texts_whose_scores_are_printed_alike_are_ranked_all_the_same(ranker: ASGIApp) -> None:
    order = best_first()
    body = {"query": QUERY, "texts": TEXTS}
    answer = post(ranker, "/rerank", body).json
    assert [one["index"] for one in answer] == order
    assert {one["score"] for one in answer} == {1.0}
    raw = post(ranker, "/rerank", body | {"raw_scores": True}).json
    assert [one["index"] for one in raw] == order
    [enveloped] = post(ranker, "/vertex", {"instances": [body]}).json["predictions"]
    assert enveloped == answer


@pytest.mark.parametrize("path", ["/v1/rerank", "/v2/rerank", "/rerank"])
def test_the_best_documents_are_kept_though_all_are_printed_alike(
    ranker: ASGIApp, path: str
) -> None:
    answer = post(ranker, path, {"query": QUERY, "documents": TEXTS, "top_n": 2}).json
    assert [one["index"] for one in answer["results"]] == best_first()[:2]
    assert [one["relevance_score"] for one in answer["results"]] == [1.0, 1.0]


def test_texts_with_one_and_the_same_logit_come_with_the_higher_index_first(
    ranker: ASGIApp,
) -> None:
    texts = [TEXTS[best_first()[0]]] * 2 + [TEXTS[best_first()[1]]] * 2
    answer = post(ranker, "/rerank", {"query": QUERY, "texts": texts}).json
    assert [one["index"] for one in answer] == [1, 0, 3, 2]
    assert {one["score"] for one in answer} == {1.0}


@pytest.mark.parametrize("activation", ["softmax", "sigmoid", None])
def test_labels_whose_scores_are_printed_alike_are_ranked_all_the_same(
    make_service: MakeService, tmp_path: Path, activation: Activation | None
) -> None:
    folder = with_activation(tmp_path, activation, gain=SATURATING)
    _, app = make_service(model_id=str(folder))
    for text in TEXTS:
        answer = post(app, "/predict", {"inputs": text}).json
        order = np.argsort(-logits(text))
        assert [one["label"] for one in answer] == [LABELS[place] for place in order]
        assert {one["score"] for one in answer} <= {0.0, 1.0}


def with_activation(
    folder: Path, activation: Activation | None, *, gain: int = tiny.GAIN, task: Task = "classifier"
) -> Path:
    manifest = tiny.build(folder, task, gain=gain)
    tiny.seal(folder, replace(manifest, activation=activation))
    return folder


@pytest.mark.parametrize(
    ("activation", "expected"),
    [
        ("sigmoid", lambda values: 1 / (1 + np.exp(-values))),
        ("none", lambda values: values),
        ("softmax", lambda values: np.exp(values) / np.exp(values).sum()),
        (None, lambda values: np.exp(values) / np.exp(values).sum()),
    ],
)
def test_a_classifier_answers_with_its_own_activation(
    make_service: MakeService, tmp_path: Path, activation: Activation | None, expected: Any
) -> None:
    _, app = make_service(model_id=str(with_activation(tmp_path, activation)))
    body = {"inputs": "the cat"}
    computed = logits("the cat", gain=tiny.GAIN)
    for extra, found in (({}, expected(computed)), ({"raw_scores": True}, computed)):
        answer = post(app, "/predict", body | extra).json
        scores = {one["label"]: one["score"] for one in answer}
        np.testing.assert_allclose([scores[name] for name in LABELS], found, atol=1e-5)
    [enveloped] = post(app, "/vertex", {"instances": [body]}).json["predictions"]
    assert enveloped == post(app, "/predict", body).json
    shown = request(app, "GET", "/info").json["activation"]
    assert shown == ("softmax" if activation is None else activation)


@pytest.mark.parametrize(
    ("path", "body", "read"),
    [
        ("/rerank", {"query": "dog", "texts": ["cat"]}, lambda found: found[0]["score"]),
        (
            "/v1/rerank",
            {"query": "dog", "documents": ["cat"]},
            lambda found: found["results"][0]["relevance_score"],
        ),
    ],
)
def test_a_relevance_is_a_number_from_0_to_1_whatever_the_labels_are_printed_by(
    make_service: MakeService, tmp_path: Path, path: str, body: Any, read: Any
) -> None:
    _, app = make_service(model_id=str(with_activation(tmp_path, "none", task="reranker")))
    logit = logits("dog", "cat", gain=tiny.GAIN)[0]
    assert read(post(app, path, body).json) == pytest.approx(1 / (1 + np.exp(-logit)), abs=1e-5)
    [labelled] = post(app, "/predict", {"inputs": ["dog", "cat"]}).json
    assert labelled["score"] == pytest.approx(logit, abs=1e-4)


def test_only_scores_have_an_activation(make_kind: MakeKind) -> None:
    assert request(make_kind("embedding"), "GET", "/info").json["activation"] is None
    assert request(make_kind("reranker"), "GET", "/info").json["activation"] == "sigmoid"


@pytest.fixture
def chatting(make_service: MakeService, tmp_path: Path) -> tuple[Service, ASGIApp]:
    """A service over a reranker that reads a pair as one text."""
    tiny.build(tmp_path, "reranker", gain=1)
    how = PairText("the ", " sat ", " e", trims=True)
    replace(Manifest.read(tmp_path), schema=CHATTING, pair_text=how).write(tmp_path)
    return make_service(model_id=str(tmp_path))


def test_a_pair_that_is_read_as_one_text_is_scored_as_that(
    chatting: tuple[Service, ASGIApp],
) -> None:
    body = {"query": " cat", "texts": ["dog ", "mat"], "raw_scores": True}
    found = {one["index"]: one["score"] for one in post(chatting[1], "/rerank", body).json}
    for place, text in enumerate(("the cat sat dog e", "the cat sat mat e")):
        ids = tiny.ids_of(text)[1:-1]
        expected = tiny.logits("reranker", ids, np.zeros_like(ids), 1)[0]
        assert found[place] == pytest.approx(expected, abs=1e-6)


def test_a_model_that_reads_nothing_but_pairs_is_probed_by_one(
    chatting: tuple[Service, ASGIApp],
) -> None:
    service, app = chatting
    assert post(app, "/predict", {"inputs": "the cat"}).status == 422
    asyncio.run(service.model.engine.probe())
