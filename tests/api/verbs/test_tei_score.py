"""TEI's routes for scores: /predict and /rerank."""

from typing import Any

import numpy as np
import pytest

from tests.api.conftest import MakeKind
from tests.support.scores import logits, refused, sigmoid
from tools import tiny
from tools.asgi import post


def softmax(values: Any) -> Any:
    powers = np.exp(values - values.max())
    return powers / powers.sum()


def test_labels_come_best_first(make_kind: MakeKind) -> None:
    app = make_kind("classifier")
    answer = post(app, "/predict", {"inputs": "the cat"}).json
    expected = softmax(logits("classifier", "the cat"))
    order = np.argsort(expected)[::-1]
    assert [one["label"] for one in answer] == [tiny.LABELS["classifier"][i] for i in order]
    np.testing.assert_allclose([one["score"] for one in answer], expected[order], atol=1e-5)
    assert list(answer[0]) == ["score", "label"]


def test_one_text_two_texts_and_a_batch(make_kind: MakeKind) -> None:
    app = make_kind("classifier")
    single = post(app, "/predict", {"inputs": ["the cat"]}).json
    pair = post(app, "/predict", {"inputs": ["the cat", "a dog"]}).json
    batch = post(app, "/predict", {"inputs": [["the cat"], ["the cat", "a dog"]]}).json
    assert single == post(app, "/predict", {"inputs": "the cat"}).json
    for one, other in zip(batch, [single, pair], strict=True):
        assert [x["label"] for x in one] == [x["label"] for x in other]
        for x, y in zip(one, other, strict=True):
            assert x["score"] == pytest.approx(y["score"], abs=1e-6)
    expected = softmax(logits("classifier", "the cat", "a dog"))
    assert pair[0]["score"] == pytest.approx(expected.max(), abs=1e-5)


def test_raw_scores_are_logits(make_kind: MakeKind) -> None:
    answer = post(
        make_kind("classifier"), "/predict", {"inputs": "the cat", "raw_scores": True}
    ).json
    expected = np.sort(logits("classifier", "the cat"))[::-1]
    np.testing.assert_allclose([one["score"] for one in answer], expected, atol=1e-4)


def test_a_reranker_may_predict_with_a_sigmoid(make_kind: MakeKind) -> None:
    [one] = post(make_kind("reranker"), "/predict", {"inputs": ["a", "b c"]}).json
    assert one["label"] == "LABEL_0"
    assert one["score"] == pytest.approx(sigmoid(logits("reranker", "a", "b c"))[0], abs=1e-5)


@pytest.mark.parametrize(
    ("inputs", "detail"),
    [
        (["a", "b", "c"], "inputs: invalid length 3, expected a string, a pair of strings "),
        ([], "inputs: invalid length 0, expected a string"),
        ([[]], "inputs: invalid length 0, expected a string"),
        ([["a"], []], "inputs: invalid length 0, expected a string"),
        ([["a"], "b"], 'inputs[1]: invalid type: string "b", expected a sequence'),
        (["a", ["b"]], "inputs[1]: invalid type: sequence, expected a string"),
        ([1], "inputs[0]: data did not match any variant of untagged enum Internal"),
        ([["a"], [1]], "inputs[1][0]: invalid type: integer `1`, expected a string"),
        (5, "inputs: invalid type: integer `5`, expected a string, a pair of strings "),
    ],
)
def test_other_inputs_are_422(make_kind: MakeKind, inputs: Any, detail: str) -> None:
    reply = post(make_kind("classifier"), "/predict", {"inputs": inputs})
    assert reply.status == 422
    text = "Failed to deserialize the JSON body into the target type: "
    assert reply.text.startswith(text + detail)


def test_texts_are_ranked_by_sigmoid(make_kind: MakeKind) -> None:
    app = make_kind("reranker")
    texts = ["the cat sat", "hello world", "a b c"]
    answer = post(app, "/rerank", {"query": "dog", "texts": texts}).json
    expected = np.array([sigmoid(logits("reranker", "dog", text))[0] for text in texts])
    assert [one["index"] for one in answer] == np.argsort(expected)[::-1].tolist()
    for one in answer:
        assert list(one) == ["index", "score"]
        assert one["score"] == pytest.approx(expected[one["index"]], abs=1e-5)


def test_texts_are_returned_on_request_and_scores_raw(make_kind: MakeKind) -> None:
    body = {"query": "dog", "texts": ["a", "b"], "return_text": True, "raw_scores": True}
    answer = post(make_kind("reranker"), "/rerank", body).json
    assert {one["text"] for one in answer} == {"a", "b"}
    assert list(answer[0]) == ["index", "text", "score"]
    for one in answer:
        expected = logits("reranker", "dog", one["text"])[0]
        assert one["score"] == pytest.approx(expected, abs=1e-4)


def test_equal_scores_rank_the_higher_index_first(make_kind: MakeKind) -> None:
    body = {"query": "dog", "texts": ["a", "b", "a"]}
    order = [one["index"] for one in post(make_kind("reranker"), "/rerank", body).json]
    assert order.index(2) == order.index(0) - 1


def test_an_empty_query_is_ranked_and_two_empty_sides_are_not(make_kind: MakeKind) -> None:
    app = make_kind("reranker")
    assert post(app, "/rerank", {"query": "", "texts": ["a"]}).status == 200
    reply = post(app, "/rerank", {"query": "", "texts": ["a", ""]})
    assert refused(reply, 400, "Empty", "Input validation error: `inputs` cannot be empty")


def test_ranking_counts_characters_and_tokens_of_every_pair(make_kind: MakeKind) -> None:
    reply = post(make_kind("reranker"), "/rerank", {"query": "dog", "texts": ["a", "b c"]})
    assert reply.headers["x-compute-characters"] == str(2 * 3 + 1 + 3)
    tokens = len(tiny.encoded("dog", "a")) + len(tiny.encoded("dog", "b c"))
    assert reply.headers["x-compute-tokens"] == str(tokens)


def test_a_long_pair_is_cut_longest_first(make_kind: MakeKind) -> None:
    app = make_kind("reranker")
    body = {"query": "dog", "texts": ["a " * 50]}
    assert post(app, "/rerank", body).headers["x-compute-tokens"] == str(tiny.MAX_LENGTH)
    reply = post(app, "/rerank", body | {"truncate": False})
    assert "must have less than 12 tokens. Given: 54" in reply.json["error"]


def test_texts_must_be_an_array_of_strings(make_kind: MakeKind) -> None:
    app = make_kind("reranker")
    for texts, detail in (
        ("a", 'texts: invalid type: string "a", expected a sequence'),
        (["a", 1], "texts[1]: invalid type: integer `1`, expected a string"),
    ):
        reply = post(app, "/rerank", {"query": "q", "texts": texts})
        assert (reply.status, detail in reply.text) == (422, True)


@pytest.mark.parametrize("raw", [True, False])
@pytest.mark.parametrize(
    ("kind", "path", "body"),
    [
        ("reranker", "/rerank", {"query": "a", "texts": ["b"]}),
        ("reranker", "/predict", {"inputs": "a"}),
        ("classifier", "/predict", {"inputs": "a"}),
    ],
)
def test_a_score_that_is_no_number_is_an_error(
    make_kind: MakeKind,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    path: str,
    body: dict[str, Any],
    raw: bool,
) -> None:
    app = make_kind(kind)

    def run(self: Any, batch: Any, outputs: Any) -> Any:
        del self
        return {name: np.full((len(batch.input_ids), 3), np.nan, np.float32) for name in outputs}

    monkeypatch.setattr("app.inference.providers.session.Session.run", run)
    reply = post(app, path, {**body, "raw_scores": raw})
    assert refused(reply, 424, "Backend", "Backend error: the score of input 0 is not finite")
