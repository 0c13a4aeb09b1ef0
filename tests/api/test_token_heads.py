"""Models with outputs for each token: BGE-M3's lexical weights and vectors, and ColBERT's."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from starlette.types import ASGIApp

from app.api.http.service import Service
from app.inference.providers.session import Session
from tests.api.conftest import MakeKind
from tools import tiny
from tools.asgi import post

MakeService = Callable[..., tuple[Service, ASGIApp]]
# A word twice, an unknown word, texts of different lengths in one batch.
TEXTS = ["the cat sat on the mat", "a", "unknowable dog", "hello world, hello"]


def lexical(text: str) -> dict[int, float]:
    """Return the largest positive weight of each id but special tokens', one token at a time."""
    ids = tiny.ids_of(text)
    found: dict[int, float] = {}
    for token, weight in zip(ids.tolist(), tiny.lexical_weights(ids).tolist(), strict=True):
        if token not in tiny.SPECIAL_IDS and weight > 0:
            found[token] = max(weight, found.get(token, 0))
    return found


def entries(answer: Any) -> dict[int, float]:
    assert [entry["index"] for entry in answer] == sorted(entry["index"] for entry in answer)
    return {entry["index"]: entry["value"] for entry in answer}


def test_each_id_has_its_largest_weight_and_special_tokens_have_none(make_kind: MakeKind) -> None:
    answers = post(make_kind("whole"), "/embed_sparse", {"inputs": TEXTS}).json
    for text, answer in zip(TEXTS, answers, strict=True):
        assert entries(answer) == pytest.approx(lexical(text), abs=1e-6)
    assert any(answers)
    assert {tuple(sorted(entry)) for answer in answers for entry in answer} == {("index", "value")}


def test_a_text_of_special_tokens_has_an_empty_sparse_vector(make_kind: MakeKind) -> None:
    app = make_kind("whole")
    assert post(app, "/embed_sparse", {"inputs": "unknowable"}).json == [[]]


def test_the_first_token_has_no_vector_to_compare(make_kind: MakeKind) -> None:
    answers = post(make_kind("whole"), "/embed_all", {"inputs": TEXTS}).json
    for text, rows in zip(TEXTS, answers, strict=True):
        expected = tiny.multi_vectors(tiny.ids_of(text))[1:]
        np.testing.assert_allclose(rows, expected, atol=1e-6)
        np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-6)


def test_ids_without_a_first_special_token_lose_no_vector(make_kind: MakeKind) -> None:
    app = make_kind("whole")
    ids = tiny.ids_of("the cat")
    [rows] = post(app, "/embed_all", {"inputs": [ids[1:].tolist()]}).json
    np.testing.assert_allclose(rows, tiny.multi_vectors(ids)[1:], atol=1e-6)


def test_dense_vectors_are_what_they_are_without_the_heads(make_kind: MakeKind) -> None:
    body = {"inputs": TEXTS}
    whole, plain = (post(make_kind(kind), "/embed", body).json for kind in ("whole", "embedding"))
    np.testing.assert_allclose(whole, plain, atol=1e-7)


def test_a_colbert_model_has_a_vector_for_every_token(make_kind: MakeKind) -> None:
    answers = post(make_kind("multi_vector"), "/embed_all", {"inputs": TEXTS}).json
    for text, rows in zip(TEXTS, answers, strict=True):
        np.testing.assert_allclose(rows, tiny.multi_vectors(tiny.ids_of(text)), atol=1e-6)


@pytest.mark.parametrize("path", ["/embed_sparse", "/embed_all"])
def test_a_non_finite_value_is_424_for_its_request_alone(
    make_service: MakeService,
    folders: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    path: str,
) -> None:
    _, app = make_service(model_id=str(folders["whole"]))
    real_run = Session.run
    word = tiny.ids_of("dog")[1]

    def run(self: Any, batch: Any, outputs: Any) -> Any:
        results = real_run(self, batch, outputs)
        for result in results.values():
            result[batch.input_ids == word] = np.nan
        return results

    monkeypatch.setattr(Session, "run", run)
    bad = post(app, path, {"inputs": ["cat", "dog"]})
    assert (bad.status, bad.json["error"]) == (
        424,
        "Backend error: the embedding of input 1 is not finite",
    )
    assert post(app, path, {"inputs": "cat"}).status == 200
