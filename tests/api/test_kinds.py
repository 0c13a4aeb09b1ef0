"""The routes of every kind of model over the tiny ones, and what each kind refuses."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from starlette.types import ASGIApp

from app.api.http.service import Service
from tests.api.conftest import MakeKind
from tools import tiny
from tools.asgi import post, request
from tools.client import Reply


def refused(reply: Reply, status: int, kind: str, text: str) -> bool:
    return (reply.status, reply.json) == (status, {"error": text, "error_type": kind})


def softmax(values: Any) -> Any:
    powers = np.exp(values - values.max())
    return powers / powers.sum()


def sigmoid(values: Any) -> Any:
    return 1 / (1 + np.exp(-values))


def logits(task: Any, *texts: str) -> Any:
    one = tiny.encoded(*texts)
    return tiny.logits(task, one.input_ids, one.token_type_ids)


# /embed_all


def test_a_vector_for_each_token_special_ones_included(make_kind: MakeKind) -> None:
    texts = ["the cat", "a", "the cat sat on the mat", "b"]
    answers = post(make_kind("embedding"), "/embed_all", {"inputs": texts}).json
    for text, rows in zip(texts, answers, strict=True):
        np.testing.assert_allclose(rows, tiny.token_vectors(tiny.ids_of(text)), atol=1e-6)


def test_token_vectors_are_truncated_and_carry_the_prompt(make_kind: MakeKind) -> None:
    app = make_kind("embedding")
    [rows] = post(app, "/embed_all", {"inputs": "a " * 20}).json
    assert len(rows) == tiny.MAX_LENGTH
    [rows] = post(app, "/embed_all", {"inputs": "cat", "prompt_name": "query"}).json
    assert len(rows) == len(tiny.ids_of("query: cat"))


# /embed_sparse


def test_sparse_entries_ascend_and_are_not_zero(make_kind: MakeKind) -> None:
    app = make_kind("splade")
    texts = ["the cat", "a", "hello world"]
    answers = post(app, "/embed_sparse", {"inputs": texts}).json
    for text, entries in zip(texts, answers, strict=True):
        expected = tiny.sparse(tiny.ids_of(text))
        assert [entry["index"] for entry in entries] == np.flatnonzero(expected).tolist()
        values = [entry["value"] for entry in entries]
        np.testing.assert_allclose(values, expected[expected > 0], atol=1e-6)
        assert all(list(entry) == ["index", "value"] for entry in entries)


def test_a_splade_model_embeds_densely_without_normalization(make_kind: MakeKind) -> None:
    app = make_kind("splade")
    reply = post(app, "/embed", {"inputs": "the cat", "normalize": False, "dimensions": 9})
    np.testing.assert_allclose(reply.json, [tiny.sparse(tiny.ids_of("the cat"))[:9]], atol=1e-6)


# /predict


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


# /rerank


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


def test_of_equal_scores_the_higher_index_comes_first(make_kind: MakeKind) -> None:
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


# Cohere's and Jina's dialect.


@pytest.mark.parametrize("path", ["/v1/rerank", "/v2/rerank", "/rerank"])
def test_documents_are_ranked_by_relevance(make_kind: MakeKind, path: str) -> None:
    app = make_kind("reranker")
    texts = ["the cat sat", "hello world", "a b c"]
    body = {"model": "any", "query": "dog", "documents": [texts[0], {"text": texts[1]}, texts[2]]}
    answer = post(app, path, body | {"top_n": 2, "return_documents": True}).json
    expected = np.array([sigmoid(logits("reranker", "dog", text))[0] for text in texts])
    order = np.argsort(expected)[::-1][:2].tolist()
    assert [one["index"] for one in answer["results"]] == order
    assert [one["document"]["text"] for one in answer["results"]] == [texts[i] for i in order]
    scores = [one["relevance_score"] for one in answer["results"]]
    np.testing.assert_allclose(scores, expected[order], atol=1e-5)
    assert answer["usage"]["prompt_tokens"] == answer["usage"]["total_tokens"] > 0
    plain = post(app, path, body | {"top_n": None, "max_tokens_per_doc": None}).json
    assert len(plain["results"]) == 3
    assert "document" not in plain["results"][0]


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


# /similarity


def test_similarity_is_the_cosine_to_each_sentence(make_kind: MakeKind) -> None:
    sentences = ["the cat sat", "hello world", "the cat"]
    body = {"inputs": {"source_sentence": "the cat", "sentences": sentences}, "parameters": {}}
    answer = post(make_kind("embedding"), "/similarity", body).json
    source = tiny.unit(tiny.reference(tiny.ids_of("the cat")))
    expected = [source @ tiny.unit(tiny.reference(tiny.ids_of(text))) for text in sentences]
    np.testing.assert_allclose(answer, expected, atol=1e-6)


def test_similarity_counts_the_source_and_reads_parameters(make_kind: MakeKind) -> None:
    app = make_kind("embedding")
    inputs = {"source_sentence": "a", "sentences": ["b"] * 32}
    assert post(app, "/similarity", {"inputs": inputs}).json["error"].startswith("batch size 33")
    inputs = {"source_sentence": "a " * 20, "sentences": ["b"]}
    reply = post(app, "/similarity", {"inputs": inputs, "parameters": {"truncate": False}})
    assert "less than 12 tokens" in reply.json["error"]
    ignored = post(app, "/similarity", {"inputs": inputs, "truncate": False, "parameters": None})
    assert ignored.status == 200


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ({"inputs": {"sentences": []}}, "inputs: missing field `source_sentence`"),
        ({"inputs": "a"}, 'inputs: invalid type: string "a", expected struct SimilarityInput'),
        (
            {"inputs": {"source_sentence": "a", "sentences": "b"}},
            'inputs.sentences: invalid type: string "b", expected a sequence',
        ),
        (
            {"inputs": {"source_sentence": "a", "sentences": ["b"]}, "parameters": {"truncate": 1}},
            "parameters.truncate: invalid type: integer `1`, expected a boolean",
        ),
    ],
)
def test_faults_of_similarity_carry_their_path(
    make_kind: MakeKind, body: dict[str, Any], detail: str
) -> None:
    reply = post(make_kind("embedding"), "/similarity", body)
    assert (reply.status, detail in reply.text) == (422, True)


def test_no_sentences_are_empty(make_kind: MakeKind) -> None:
    body = {"inputs": {"source_sentence": "a", "sentences": []}}
    reply = post(make_kind("embedding"), "/similarity", body)
    assert refused(reply, 400, "Empty", "`inputs.sentences` cannot be empty")


# /tokenize and /decode


def test_tokens_carry_utf8_byte_offsets(make_kind: MakeKind) -> None:
    [tokens] = post(make_kind("embedding"), "/tokenize", {"inputs": "é the worlds"}).json
    assert [list(token) for token in tokens] == [["id", "text", "special", "start", "stop"]] * 6
    assert [token["text"] for token in tokens] == ["[CLS]", "é", "the", "world", "s", "[SEP]"]
    places = [(token["start"], token["stop"]) for token in tokens]
    assert places == [(None, None), (0, 2), (3, 6), (7, 12), (12, 13), (None, None)]
    assert [token["special"] for token in tokens] == [True, False, False, False, False, True]


def test_a_typed_separator_is_not_special(make_kind: MakeKind) -> None:
    body = {"inputs": ["a [SEP] b"], "add_special_tokens": False}
    [tokens] = post(make_kind("embedding"), "/tokenize", body).json
    assert [(token["text"], token["special"]) for token in tokens] == [
        ("a", False),
        ("[SEP]", False),
        ("b", False),
    ]


def test_offsets_begin_with_the_prompt(make_kind: MakeKind) -> None:
    body = {"inputs": "cat", "prompt_name": "query"}
    [tokens] = post(make_kind("embedding"), "/tokenize", body).json
    assert (tokens[-2]["text"], tokens[-2]["start"]) == ("cat", len("query: "))


def test_tokenizing_never_truncates_and_takes_no_permits(make_kind: MakeKind) -> None:
    app = make_kind("embedding", max_concurrent_requests=1)
    answer = post(app, "/tokenize", {"inputs": ["a " * 50, "b"]}).json
    assert [len(tokens) for tokens in answer] == [52, 3]
    reply = post(app, "/tokenize", {"inputs": ["a"] * 33})
    assert (
        reply.json["error"]
        == "batch size 33 > maximum allowed batch size 32; --max-client-batch-size raises it"
    )


def test_decoding_skips_special_and_unknown_tokens(make_kind: MakeKind) -> None:
    app = make_kind("embedding")
    ids = tiny.ids_of("the cat").tolist()
    assert post(app, "/decode", {"ids": ids}).json == ["the cat"]
    assert post(app, "/decode", {"ids": [ids, [4, 99999]]}).json == ["the cat", "a"]
    kept = post(app, "/decode", {"ids": ids, "skip_special_tokens": False}).json
    assert kept == ["[CLS] the cat [SEP]"]


@pytest.mark.parametrize(
    ("path", "body", "status", "text"),
    [
        ("/tokenize", {"inputs": []}, 400, "`inputs` cannot be empty"),
        ("/tokenize", {"inputs": ""}, 400, "Input validation error: `inputs` cannot be empty"),
        ("/decode", {"ids": []}, 400, "Input validation error: `input_ids` cannot be empty"),
        ("/decode", {"ids": [[1], []]}, 400, "Input validation error: `input_ids` cannot be empty"),
    ],
)
def test_nothing_to_tokenize_or_decode(
    make_kind: MakeKind, path: str, body: Any, status: int, text: str
) -> None:
    assert refused(post(make_kind("embedding"), path, body), status, "Empty", text)


@pytest.mark.parametrize(
    ("path", "body", "enum"),
    [
        ("/tokenize", {"inputs": [1]}, "TokenizeInput"),
        ("/tokenize", {"inputs": 1}, "TokenizeInput"),
        ("/decode", {"ids": [1, [2]]}, "InputIds"),
        ("/decode", {"ids": [-1]}, "InputIds"),
        ("/decode", {"ids": ["a"]}, "InputIds"),
    ],
)
def test_other_shapes_match_no_variant(
    make_kind: MakeKind, path: str, body: Any, enum: str
) -> None:
    reply = post(make_kind("embedding"), path, body)
    assert reply.status == 422
    assert f"data did not match any variant of untagged enum {enum}" in reply.text


# Which kind answers which route.

SIMILAR = {"inputs": {"source_sentence": "a", "sentences": ["b"]}}
NOT_EMBEDDER = "Backend error: Model is not an embedding model"
NOT_CLASSIFIER = "Backend error: Model is not a classifier model"
NOT_RERANKER = "Backend error: model is not a re-ranker model"
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


def test_openai_s_route_needs_a_dense_embedder(make_kind: MakeKind) -> None:
    for task in ("splade", "classifier", "reranker", "multi_vector"):
        reply = post(make_kind(task), "/v1/embeddings", {"input": "a"})
        assert (reply.status, reply.json["type"]) == (424, "Backend")


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


@pytest.mark.parametrize(
    ("task", "kind"),
    [
        ("embedding", {"embedding": {"pooling": "mean"}}),
        ("whole", {"embedding": {"pooling": "mean"}}),
        ("splade", {"embedding": {"pooling": "splade"}}),
        ("multi_vector", {"embedding": {"pooling": "none"}}),
        ("classifier", {"classifier": {"id2label": {"0": "sad", "1": "glad", "2": "neither"}, "label2id": {"sad": 0, "glad": 1, "neither": 2}}}),
        ("reranker", {"reranker": {"id2label": {"0": "LABEL_0"}, "label2id": {"LABEL_0": 0}}}),
    ],
)  # fmt: skip
def test_info_tells_the_kind(make_kind: MakeKind, task: str, kind: Any) -> None:
    assert request(make_kind(task), "GET", "/info").json["model_type"] == kind


@pytest.mark.parametrize(
    ("task", "kinds"),
    [
        ("embedding", ["dense"]),
        ("whole", ["dense", "sparse", "multi_vector"]),
        ("splade", ["sparse"]),
        ("multi_vector", ["multi_vector"]),
        ("classifier", []),
    ],
)
def test_info_tells_which_vectors_there_are(
    make_kind: MakeKind, task: str, kinds: list[str]
) -> None:
    assert request(make_kind(task), "GET", "/info").json["vectors"] == kinds


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


# /vertex


def test_instances_are_answered_as_their_routes_would(make_kind: MakeKind) -> None:
    app = make_kind("embedding")
    answer = post(app, "/vertex", {"instances": [{"inputs": "a"}, {"inputs": ["b", "c"]}]}).json
    assert list(answer) == ["predictions"]
    one, two = answer["predictions"]
    np.testing.assert_allclose(one, post(app, "/embed", {"inputs": "a"}).json, atol=1e-6)
    assert len(two) == 2
    assert post(app, "/vertex", {"instances": []}).json == {"predictions": []}


def test_an_instance_that_looks_like_ranking_is_ranked(make_kind: MakeKind) -> None:
    body = {"instances": [{"query": "a", "texts": ["b"]}]}
    reply = post(make_kind("embedding"), "/vertex", body)
    assert refused(reply, 424, "Backend", NOT_RERANKER)
    ranked = post(make_kind("reranker"), "/vertex", body).json["predictions"]
    assert ranked[0][0]["index"] == 0


def test_an_instance_that_fits_nothing_is_422_json(make_kind: MakeKind) -> None:
    reply = post(
        make_kind("embedding"), "/vertex", {"instances": [{"inputs": "a"}, {"input": "a"}]}
    )
    assert refused(reply, 422, "Validation", "missing field `inputs`")


def test_instances_that_need_more_permits_than_are_free_run_not_at_all(
    make_service: Callable[..., tuple[Service, ASGIApp]],
) -> None:
    service, app = make_service(max_concurrent_requests=6)
    with service.model.engine.admission.permits.taken(4):
        reply = post(app, "/vertex", {"instances": [{"inputs": ["a", "b"]}] * 2})
    assert refused(reply, 429, "Overloaded", "Model is overloaded")
    assert reply.headers["retry-after"] == "1"
    text = request(app, "GET", "/metrics").text
    assert 'te_request_failure{err="overloaded"} 1' in text
    assert "te_request_count" not in text
    assert "te_permits_taken 0" in text
    assert post(app, "/vertex", {"instances": [{"inputs": ["a", "b"]}, {"inputs": "a"}]}).json


def test_vertex_s_own_paths(make_kind: MakeKind) -> None:
    app = make_kind("embedding", aip_predict_route="/p", aip_health_route="/h", api_key="k")
    assert request(app, "GET", "/h", headers={}).status == 200
    assert request(app, "POST", "/p", b"{}", headers={}).status == 401
    headers = {"authorization": "Bearer k", "content-type": "application/json"}
    body = json.dumps({"instances": []}).encode()
    assert request(app, "POST", "/p", body, headers).json == {"predictions": []}


def test_paths_of_vertex_that_are_there_already_keep_their_other_methods(
    make_kind: MakeKind,
) -> None:
    app = make_kind("embedding", aip_predict_route="/embed", aip_health_route="/")
    assert request(app, "GET", "/", headers={}).status == 200
    assert len(post(app, "/", {"inputs": "a"}).json[0]) == tiny.DIMENSIONS
    assert post(app, "/embed", {"instances": []}).json == {"predictions": []}


# What OpenAI's clients ask for beyond TEI.


def test_models_are_listed(make_kind: MakeKind) -> None:
    answer = request(make_kind("embedding", served_model_name="mine"), "GET", "/v1/models").json
    [model] = answer["data"]
    assert answer["object"] == "list"
    assert (model["id"], model["object"], model["created"]) == ("mine", "model", 1_767_225_600)


def test_openai_s_route_takes_the_options_of_embed(make_kind: MakeKind) -> None:
    app = make_kind("embedding")

    def vector(**extra: Any) -> Any:
        body = {"input": "cat", **extra}
        return post(app, "/v1/embeddings", body).json["data"][0]["embedding"]

    prompted = tiny.reference(tiny.ids_of("query: cat"))
    np.testing.assert_allclose(vector(prompt_name="query"), tiny.unit(prompted), atol=1e-6)
    np.testing.assert_allclose(vector(input_type="query"), tiny.unit(prompted), atol=1e-6)
    assert vector(input_type="unknown") == vector(input_type=None) == vector()
    plain = vector(prompt_name="query", normalize=False)
    np.testing.assert_allclose(plain, prompted, atol=1e-6)
    reply = post(app, "/v1/embeddings", {"input": "a " * 20, "truncate": False})
    assert (reply.status, reply.json["type"]) == (422, "Validation")


def test_a_text_of_many_tokens_is_tokenized_in_linear_time(make_kind: MakeKind) -> None:
    """As many as the limit on characters lets through, for every input of a batch."""
    reply = post(make_kind("embedding"), "/tokenize", {"inputs": ["a " * 1500] * 32})
    assert [len(tokens) for tokens in reply.json] == [1502] * 32
