"""TEI's routes for vectors: dense ones, those of tokens, sparse ones, and similarity."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from starlette.types import ASGIApp

from app.api.http.service import Service
from tests.api.conftest import MakeKind
from tests.support.scores import refused
from tools import tiny
from tools.asgi import post


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


MakeService = Callable[..., tuple[Service, ASGIApp]]


def expected(text: str, dimensions: int | None = None) -> Any:
    return tiny.unit(tiny.reference(tiny.ids_of(text))[:dimensions])


def test_one_text_is_a_list_of_one_vector(app: ASGIApp) -> None:
    reply = post(app, "/embed", {"inputs": "the cat"})
    assert reply.status == 200
    assert reply.headers["content-type"] == "application/json"
    assert int(reply.headers["content-length"]) == len(reply.content)
    np.testing.assert_allclose(reply.json, [expected("the cat")], atol=1e-6)


def test_a_batch_keeps_its_order_and_equals_its_texts_alone(app: ASGIApp) -> None:
    texts = ["a", "the cat sat on the mat", "b c", "hello world !", "dogs", "e d c b a"]
    together = np.array(post(app, "/embed", {"inputs": texts}).json)
    alone = np.array([post(app, "/embed", {"inputs": text}).json[0] for text in texts])
    np.testing.assert_allclose(together, alone, atol=1e-6)
    np.testing.assert_allclose(together, [expected(text) for text in texts], atol=1e-6)


def test_without_normalization_the_pooled_vector_comes_as_it_is(app: ASGIApp) -> None:
    reply = post(app, "/embed", {"inputs": "the cat", "normalize": False})
    np.testing.assert_allclose(reply.json, [tiny.reference(tiny.ids_of("the cat"))], atol=1e-6)


@pytest.mark.parametrize("dimensions", [1, 7, tiny.DIMENSIONS])
def test_dimensions_are_cut_before_normalizing(app: ASGIApp, dimensions: int) -> None:
    reply = post(app, "/embed", {"inputs": "the cat", "dimensions": dimensions})
    np.testing.assert_allclose(reply.json, [expected("the cat", dimensions)], atol=1e-6)


def test_a_named_prompt_goes_before_the_text(app: ASGIApp) -> None:
    reply = post(app, "/embed", {"inputs": "cat", "prompt_name": "query"})
    np.testing.assert_allclose(reply.json, [expected("query: cat")], atol=1e-6)


def test_truncation_is_on_unless_the_request_says_otherwise(app: ASGIApp) -> None:
    long = "a b c d e " * 4
    right = post(app, "/embed", {"inputs": long, "truncation_direction": "Right"}).json
    left = post(app, "/embed", {"inputs": long, "truncation_direction": "left"}).json
    np.testing.assert_allclose(right, [expected("a b c d e a b c d e")], atol=1e-6)
    np.testing.assert_allclose(left, [expected("a b c d e a b c d e")], atol=1e-6)
    reply = post(app, "/embed", {"inputs": long, "truncate": False})
    assert reply.status == 422
    assert reply.content == (
        b'{"error":"Input validation error: `inputs` must have less than 12 tokens. Given: 22",'
        b'"error_type":"Validation"}'
    )


def test_auto_truncation_can_be_switched_off(make_service: MakeService) -> None:
    _, app = make_service(auto_truncate=False)
    assert post(app, "/embed", {"inputs": "a " * 20}).status == 422
    assert post(app, "/embed", {"inputs": "a " * 20, "truncate": True}).status == 200


def test_token_ids_are_an_input(app: ASGIApp) -> None:
    ids = tiny.ids_of("the cat").tolist()
    for inputs in (ids, [ids], [ids, "the cat"]):
        reply = post(app, "/embed", {"inputs": inputs})
        np.testing.assert_allclose(reply.json[0], expected("the cat"), atol=1e-6)


@pytest.mark.parametrize("path", ["/", "/invocations"])
def test_aliases_of_embed(app: ASGIApp, path: str) -> None:
    reply = post(app, path, {"inputs": "the cat"})
    np.testing.assert_allclose(reply.json, [expected("the cat")], atol=1e-6)


@pytest.mark.parametrize(
    ("body", "status", "kind", "text"),
    [
        ({"inputs": ""}, 400, "Empty", "Input validation error: `inputs` cannot be empty"),
        ({"inputs": []}, 400, "Empty", "Input validation error: `inputs` cannot be empty"),
        ({"inputs": ["a", []]}, 400, "Empty", "Input validation error: `inputs` cannot be empty"),
        ({"inputs": ["a"] * 33}, 422, "Validation", "batch size 33 > maximum allowed batch size 32; --max-client-batch-size raises it"),
        ({"inputs": "a", "dimensions": 0}, 422, "Validation", "Input validation error: `dimensions` should be positive"),
        ({"inputs": "a", "dimensions": 17}, 422, "Validation", "Input validation error: `dimensions` should be smaller than the maximum embedding dimension."),
        ({"inputs": "a" * 3001, "truncate": False}, 422, "Validation", "Input validation error: `inputs` must have less than 3000 characters. Given: 3001"),
        ({"inputs": "a", "prompt_name": "nope"}, 422, "Validation", "Input validation error: `default-prompt-name` is set to `nope` but it was not found in the Sentence Transformers prompts. Available prompts: [\"query\", \"passage\"]"),
        ({"inputs": [4_000_000_000]}, 422, "Validation", "Input validation error: `inputs` has no tokens"),
        ({"inputs": [[5], [800]]}, 422, "Validation", "Input validation error: `inputs` has no tokens"),
    ],
)  # fmt: skip
def test_errors_are_worded_as_tei_words_them(
    app: ASGIApp, body: Any, status: int, kind: str, text: str
) -> None:
    reply = post(app, "/embed", body)
    assert (reply.status, reply.json) == (status, {"error": text, "error_type": kind})
    assert reply.headers["content-type"] == "application/json"
    assert "x-compute-time" not in reply.headers


def test_the_order_of_checks(make_service: MakeService) -> None:
    service, app = make_service(max_concurrent_requests=4, max_client_batch_size=5)
    too_many = {"inputs": ["", *["a"] * 5], "dimensions": 0}
    no_permits = {"inputs": ["", *["a"] * 4], "dimensions": 0}
    no_dimensions = {"inputs": ["", "a"], "dimensions": 0}
    with service.model.engine.admission.permits.taken(3):
        assert post(app, "/embed", too_many).json["error"].startswith("batch size 6")
        assert post(app, "/embed", no_permits).json["error"] == "Model is overloaded"
    assert "positive" in post(app, "/embed", no_dimensions).json["error"]
    for inputs in (["", "a"], ["a", ""]):  # TEI names the dimensions of the first one
        reply = post(app, "/embed", {"inputs": inputs, "dimensions": 99})
        assert (reply.status, reply.json["error_type"]) == (400, "Empty")


def test_success_carries_tei_s_timing_headers(app: ASGIApp) -> None:
    reply = post(app, "/embed", {"inputs": ["héllo", [2, 4, 3]], "prompt_name": "query"})
    assert reply.headers["x-compute-type"] == "gpu+optimized"
    assert reply.headers["x-compute-characters"] == str(5 + 3)  # the prompt does not count
    tokens = len(tiny.ids_of("query: héllo")) + len(tiny.ids_of("query: a"))
    assert reply.headers["x-compute-tokens"] == str(tokens)
    for name in ("compute", "total", "tokenization", "queue", "inference"):
        assert reply.headers[f"x-{name}-time"].isdigit()
