"""The routes of every kind of model over the tiny ones, and what each kind refuses."""

from typing import Any

import pytest

from tests.api.conftest import MakeKind
from tests.support.scores import NOT_RERANKER, refused
from tools.asgi import post, request

SIMILAR = {"inputs": {"source_sentence": "a", "sentences": ["b"]}}
NOT_EMBEDDER = "Backend error: Model is not an embedding model"
NOT_CLASSIFIER = "Backend error: Model is not a classifier model"
NOT_SPLADE = f"{NOT_EMBEDDER} with SPLADE pooling"
ONLY_TOKENS = (
    f"{NOT_EMBEDDER}: it has no vector for a whole text, /embed_all gives those of its tokens"
)


@pytest.mark.parametrize(
    ("path", "body", "answers"),
    [
        ("/embed", {"inputs": "a"}, {
            "splade": "Backend error: `normalize` is not available for SPLADE models",
            "classifier": NOT_EMBEDDER, "reranker": NOT_EMBEDDER, "multi_vector": ONLY_TOKENS}),
        ("/embed_all", {"inputs": "a"}, {
            "splade": "Backend error: `embed_all` is not available for SPLADE models",
            "classifier": NOT_EMBEDDER, "reranker": NOT_EMBEDDER}),
        ("/embed_sparse", {"inputs": "a"}, {
            "embedding": NOT_SPLADE, "classifier": NOT_SPLADE, "reranker": NOT_SPLADE,
            "multi_vector": NOT_SPLADE}),
        ("/predict", {"inputs": "a"}, {
            "embedding": NOT_CLASSIFIER, "splade": NOT_CLASSIFIER, "whole": NOT_CLASSIFIER,
            "multi_vector": NOT_CLASSIFIER}),
        ("/rerank", {"query": "a", "texts": ["b"]}, {
            "embedding": NOT_RERANKER, "splade": NOT_RERANKER, "classifier": NOT_RERANKER,
            "whole": NOT_RERANKER, "multi_vector": NOT_RERANKER}),
        ("/similarity", SIMILAR, {
            "classifier": NOT_EMBEDDER, "reranker": NOT_EMBEDDER, "multi_vector": ONLY_TOKENS}),
        ("/tokenize", {"inputs": "a"}, {}),
        ("/decode", {"ids": [4]}, {}),
    ],
)  # fmt: skip
@pytest.mark.parametrize(
    "task", ["embedding", "whole", "splade", "classifier", "reranker", "multi_vector"]
)
def test_each_kind_answers_its_routes(
    make_kind: MakeKind, task: str, path: str, body: Any, answers: dict[str, str]
) -> None:
    reply = post(make_kind(task), path, body)
    if task in answers:
        assert refused(reply, 424, "Backend", answers[task])
    else:
        assert reply.status == 200, reply.text


def test_no_texts_is_found_before_the_kind_of_model(make_kind: MakeKind) -> None:
    reply = post(make_kind("embedding"), "/rerank", {"query": "a", "texts": []})
    assert refused(reply, 400, "Empty", "`texts` cannot be empty")


@pytest.mark.parametrize(
    ("task", "body"),
    [
        ("embedding", {"inputs": "a"}),
        ("whole", {"inputs": "a"}),
        ("splade", {"inputs": "a"}),
        ("multi_vector", {"inputs": "a"}),
        ("classifier", {"inputs": "a"}),
        ("reranker", {"query": "a", "texts": ["b"]}),
    ],
)
@pytest.mark.parametrize("path", ["/", "/invocations"])
def test_the_root_is_what_the_model_is_for(
    make_kind: MakeKind, task: str, body: Any, path: str
) -> None:
    own = {
        "embedding": "/embed",
        "whole": "/embed",
        "splade": "/embed_sparse",
        "multi_vector": "/embed_all",
        "classifier": "/predict",
        "reranker": "/rerank",
    }
    app = make_kind(task)
    assert post(app, path, body).json == post(app, own[task], body).json


def test_the_root_can_be_similarity(make_kind: MakeKind) -> None:
    app = make_kind("embedding", task="sentence-similarity")
    assert post(app, "/", SIMILAR).json == post(app, "/similarity", SIMILAR).json
    assert post(app, "/embed", {"inputs": "a"}).status == 200


def test_metrics_count_predictions_apart(make_kind: MakeKind) -> None:
    app = make_kind("reranker")
    post(app, "/rerank", {"query": "a", "texts": ["b", "c"]})
    post(app, "/embed", {"inputs": "a"})
    lines = request(app, "GET", "/metrics").text.splitlines()
    assert "te_predict_count 2" in lines
    assert "te_predict_success 2" in lines
    assert "te_predict_duration_count 2" in lines
    assert 'te_request_failure{err="model_type"} 1' in lines
    assert "te_embed_success" not in "".join(lines)


def test_models_are_listed(make_kind: MakeKind) -> None:
    answer = request(make_kind("embedding", served_model_name="mine"), "GET", "/v1/models").json
    [model] = answer["data"]
    assert answer["object"] == "list"
    assert (model["id"], model["object"], model["created"]) == ("mine", "model", 1_767_225_600)
