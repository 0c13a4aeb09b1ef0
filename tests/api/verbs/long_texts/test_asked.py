"""Options for long texts over HTTP; their vectors are tested in tests/export/test_long_texts.py."""

import base64
from typing import Any

import numpy as np
import pytest
from starlette.types import ASGIApp

from app.api.verbs.long_texts.asked import joined
from tests.api.conftest import MakeKind
from tools import tiny
from tools.asgi import post, request
from tools.client import Reply

LONG = " ".join(["the", "cat", "sat", "on", "mat"] * 5)
TRUNCATED = "`inputs` must have less than 12 tokens. Given: 27"
OPENAI = "/v1/embeddings"


def refused(reply: Reply, message: str, status: int = 422) -> bool:
    found = reply.json.get("error") if status != 400 or "error" in reply.json else reply.json
    text = found["message"] if isinstance(found, dict) else found
    return reply.status == status and text == f"Input validation error: {message}"


@pytest.mark.parametrize(("path", "name"), [("/embed", "inputs"), (OPENAI, "input")])
def test_overflow_says_what_becomes_of_what_is_too_long(
    make_kind: MakeKind, path: str, name: str
) -> None:
    app = make_kind("embedding")
    cut = post(app, path, {name: LONG, "truncate": True})
    for truncate in (None, False, True):  # it decides, whatever `truncate` says
        body = {name: LONG, "truncate": truncate}
        assert post(app, path, body | {"overflow": "truncate"}).content == cut.content
        assert refused(post(app, path, body | {"overflow": "error"}), TRUNCATED)
        mean = post(app, path, body | {"overflow": "mean"})
        assert mean.status == 200
        assert mean.content != cut.content
        assert "x-truncated-inputs" not in mean.headers
    strict = make_kind("embedding", auto_truncate=False)
    assert refused(post(strict, path, {name: LONG}), TRUNCATED)
    assert post(strict, path, {name: LONG, "overflow": "truncate"}).content == cut.content


@pytest.mark.parametrize(
    "more", [{}, {"prompt_name": "query"}, {"dimensions": 3}, {"normalize": False}]
)
@pytest.mark.parametrize("item", ["the cat", "", " ", [2, 4, 5, 3], [4, 5], "a b c d e a b c d e"])
def test_inputs_that_fit_are_answered_as_usual(
    app: ASGIApp, item: Any, more: dict[str, Any]
) -> None:
    if more and item == "a b c d e a b c d e" and "prompt_name" in more:
        item = "a b c d e a b"
    body = {"inputs": [item], **more}
    plain, found = post(app, "/embed", body), post(app, "/embed", {**body, "overflow": "mean"})
    assert (found.status, found.content) == (plain.status, plain.content)
    assert found.headers.get("x-compute-tokens") == plain.headers.get("x-compute-tokens")


def test_tokens_are_those_that_were_computed(app: ASGIApp) -> None:
    include = ["tokens", "truncated"]
    body: dict[str, Any] = {"input": [LONG, "a"], "overflow": "mean", "include": include}
    answer = post(app, OPENAI, body).json
    assert [one["tokens"] for one in answer["data"]] == [25 + 3 * 2, 3]
    assert not any(one["truncated"] for one in answer["data"])
    assert answer["usage"]["total_tokens"] == 34
    body = {"input": ["the cat", "dogs sat"], "late_chunking": True, "include": ["tokens"]}
    answer = post(app, OPENAI, body).json
    assert [one["tokens"] for one in answer["data"]] == [2, 3]
    assert answer["usage"]["total_tokens"] == 5
    assert (
        post(app, "/embed", {"inputs": LONG, "spans": [[0, 3]]}).headers["x-compute-tokens"] == "25"
    )


def test_chunks_take_the_options_of_vectors(app: ASGIApp) -> None:
    texts = ["the cat", "sat"]
    body: dict[str, Any] = {"input": texts, "late_chunking": True, "encoding_format": "base64"}
    data = post(app, OPENAI, body | {"dimensions": 5, "normalize": False}).json["data"]
    assert [one["index"] for one in data] == [0, 1]
    for one, text in zip(data, texts, strict=True):
        found = np.frombuffer(base64.b64decode(one["embedding"]), "<f4")
        expected = tiny.token_vectors(tiny.ids_of(text)[1:-1]).mean(axis=0)[:5]
        np.testing.assert_allclose(found, expected, atol=1e-6)
    plain = post(app, OPENAI, {"input": ["the cat", "sat"]})
    assert (
        post(app, OPENAI, {"input": ["the cat", "sat"], "late_chunking": False}).content
        == plain.content
    )


def test_an_instance_may_ask_for_chunks(app: ASGIApp) -> None:
    body = {"inputs": LONG, "spans": [[0, 7], [8, 30]]}
    own = post(app, "/embed", body).json
    assert post(app, "/vertex", {"instances": [body]}).json == {"predictions": [own]}


@pytest.mark.parametrize(
    ("path", "body", "message"),
    [
        ("/embed", {"inputs": ["the cat"], "spans": [[0, 3]]},
         "`spans` are places in one text: `inputs` must be a string"),
        ("/embed", {"inputs": [4, 5], "spans": [[0, 1]]},
         "`spans` are places in one text: `inputs` must be a string"),
        ("/embed", {"inputs": "a b", "spans": [[0, 3]], "overflow": "mean"},
         "`overflow` cannot be set with `spans`: no part of the text is left out"),
        ("/embed", {"inputs": "a b", "spans": [[0, 3]], "output_types": ["dense"]},
         "`output_types` cannot be set with `spans`: chunks have dense vectors only"),
        ("/embed", {"inputs": "a b", "overflow": "mean", "output_types": ["dense"]},
         "`overflow` cannot be `mean` with `output_types`: only dense vectors have a mean"),
        ("/embed", {"inputs": "a b", "spans": [[0, 4]]}, "`spans[0]` is [0, 4]: `inputs` has 3 characters"),
        ("/embed", {"inputs": "a b", "spans": [[0, 3]], "dimensions": 17},
         "`dimensions` should be smaller than the maximum embedding dimension."),
        ("/embed", {"inputs": "a b", "spans": [[0, 3]], "dimensions": 0}, "`dimensions` should be positive"),
        ("/embed", {"inputs": [4] * 13, "overflow": "mean"},
         "`inputs` must have less than 12 tokens where it is token ids, since only texts are divided into windows. Given: 13"),
        (OPENAI, {"input": ["a", [4]], "late_chunking": True},
         "`late_chunking` joins texts: `input[1]` must be a string"),
        (OPENAI, {"input": "a", "late_chunking": True, "overflow": "error"},
         "`overflow` cannot be set with `late_chunking`: no part of the text is left out"),
        (OPENAI, {"input": ["a", " "], "late_chunking": True},
         "`input[1]`: it holds no token; one counts where its last character stands"),
    ],
)  # fmt: skip
def test_invalid_options_are_refused(
    app: ASGIApp, path: str, body: dict[str, Any], message: str
) -> None:
    assert refused(post(app, path, body), message)


def test_a_pair_has_no_windows(make_kind: MakeKind) -> None:
    app = make_kind("classifier")
    plain = post(app, "/predict", {"inputs": [["a", "b"]]})
    assert (
        post(app, "/predict", {"inputs": [["a", "b"]], "overflow": "mean"}).content == plain.content
    )
    reply = post(make_kind("embedding"), "/embed", {"inputs": [["a", "b"]], "overflow": "mean"})
    assert (reply.status, "did not match any variant" in reply.text) == (422, True)


@pytest.mark.parametrize(
    ("kind", "settings", "reason"),
    [
        ("splade", {}, "the model is not an embedding model"),
        ("reranker", {}, "the model is not an embedding model"),
        ("embedding", {"pooling": "cls"}, "it needs a model that takes the mean of its tokens, and this one's is cls"),
        ("embedding", {"embed_all": False},
         "it needs a vector for each token, and the service was started with --embed-all false"),
    ],
)  # fmt: skip
def test_other_models_say_why_they_have_no_chunks(
    make_kind: MakeKind, kind: str, settings: dict[str, Any], reason: str
) -> None:
    app = make_kind(kind, **settings)
    text = f"Backend error: late chunking is not available: {reason}"
    reply = post(app, "/embed", {"inputs": "a b", "spans": [[0, 3]], "normalize": False})
    assert (reply.status, reply.json) == (424, {"error": text, "error_type": "Backend"})
    reply = post(app, OPENAI, {"input": ["a", "b"], "late_chunking": True})
    assert (reply.status, reply.json["message"]) == (424, text)


def test_sparse_vectors_have_no_mean(make_kind: MakeKind) -> None:
    body = {"inputs": "a", "overflow": "mean", "normalize": False}
    reply = post(make_kind("splade"), "/embed", body)
    assert (reply.status, reply.json["error"]) == (
        424,
        "Backend error: windows of SPLADE models have no mean",
    )


@pytest.mark.parametrize("more", [{"overflow": "mean"}, {"spans": [[0, 1]]}])
def test_windows_count_as_inputs(make_kind: MakeKind, more: dict[str, Any]) -> None:
    app = make_kind("embedding", max_client_batch_size=3)
    assert post(app, "/embed", {"inputs": "a " * 25, **more}).status == 200
    reply = post(app, "/embed", {"inputs": "a " * 60, **more})
    assert reply.status == 422
    assert (
        "windows of 12 tokens > maximum allowed batch size 3; --max-client" in reply.json["error"]
    )
    failures = request(app, "GET", "/metrics").text
    assert 'te_request_failure{err="batch_size"} 1' in failures.splitlines()
    if "overflow" in more:
        reply = post(app, "/embed", {"inputs": ["a " * 25, "a"], **more})
        assert reply.status == 422
        assert "at least 4 windows" in reply.json["error"]
        assert post(app, OPENAI, {"input": ["a " * 60, "a"], **more}).status == 200


@pytest.mark.parametrize(
    ("chunks", "text", "spans"),
    [
        (["the cat", "sat"], "the cat sat", [[0, 7], [8, 11]]),
        (["the cat ", "sat"], "the cat sat", [[0, 8], [8, 11]]),
        (["the cat", "\nsat"], "the cat\nsat", [[0, 7], [7, 11]]),
        (["𝔘", "é"], "𝔘 é", [[0, 1], [2, 3]]),
        (["a"], "a", [[0, 1]]),
        (["a", "", "b"], "a b", [[0, 1], [1, 1], [2, 3]]),
    ],
)
def test_chunks_are_joined_by_white_space(chunks: list[str], text: str, spans: list[Any]) -> None:
    found = joined(chunks)
    assert (found.text, found.spans.tolist(), found.inputs) == (text, spans, len(chunks))


def test_an_empty_chunk_is_named(app: ASGIApp) -> None:
    reply = post(app, OPENAI, {"input": ["a", ""], "late_chunking": True})
    assert refused(reply, "`input[1]` cannot be empty", 400)
    reply = post(app, "/embed", {"inputs": "a", "spans": []})
    assert (reply.status, reply.json["error"]) == (400, "`spans` cannot be empty")
    reply = post(app, "/embed", {"inputs": "", "spans": [[0, 1]]})
    assert refused(reply, "`inputs` cannot be empty", 400)
