"""Truncation is reported: by headers on every route, by a counter, and by entries on request."""

import re
from typing import Any

import pytest
from starlette.types import ASGIApp

from app.api.verbs.long_texts.truncated import MOST_NAMED
from tests.api.conftest import MakeKind
from tools import tiny
from tools.asgi import post, request

FITS = "a b c"
EXACTLY = " ".join(["a"] * (tiny.MAX_LENGTH - 2))  # with both special tokens
LONG = " ".join(["a"] * (tiny.MAX_LENGTH - 1))
HEADERS = ("x-truncated-inputs", "x-truncated-indexes")


def told(reply: Any) -> tuple[str | None, str | None]:
    """Return what the headers say of truncated inputs: how many, and which."""
    assert reply.status == 200, reply.text
    count, indexes = (reply.headers.get(name) for name in HEADERS)
    return count, indexes


def metric(app: ASGIApp, name: str) -> int:
    found = re.search(rf"^{name} (\d+)$", request(app, "GET", "/metrics").text, re.MULTILINE)
    assert found is not None, name
    return int(found[1])


@pytest.mark.parametrize(
    ("kind", "path", "body"),
    [
        ("embedding", "/embed", {"inputs": [LONG, FITS, EXACTLY, LONG]}),
        ("embedding", "/embed_all", {"inputs": [LONG, FITS, EXACTLY, LONG]}),
        ("splade", "/embed_sparse", {"inputs": [LONG, FITS, EXACTLY, LONG]}),
        ("classifier", "/predict", {"inputs": [[LONG], [FITS], [FITS, FITS], [FITS, LONG]]}),
        ("reranker", "/rerank", {"query": "a", "texts": [LONG, FITS, "b", LONG]}),
        ("reranker", "/v1/rerank", {"query": "a", "documents": [LONG, FITS, "b", LONG]}),
        ("embedding", "/v1/embeddings", {"input": [LONG, FITS, EXACTLY, LONG]}),
    ],
)
def test_headers_name_the_inputs_that_were_cut(
    make_kind: MakeKind, kind: str, path: str, body: dict[str, Any]
) -> None:
    app = make_kind(kind)
    assert told(post(app, path, body)) == ("2", "0,3")
    assert metric(app, "te_truncated_inputs") == 2


def test_the_first_input_of_a_similarity_is_the_source_sentence(app: ASGIApp) -> None:
    body = {"inputs": {"source_sentence": LONG, "sentences": [FITS, LONG]}}
    assert told(post(app, "/similarity", body)) == ("2", "0,2")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/embed", {"inputs": [FITS, EXACTLY]}),
        ("/embed", {"inputs": [[2, 4, 5, 3]]}),
        ("/v1/embeddings", {"input": FITS}),
    ],
)
def test_where_nothing_was_cut_nothing_is_said(
    app: ASGIApp, path: str, body: dict[str, Any]
) -> None:
    assert told(post(app, path, body)) == (None, None)
    assert metric(app, "te_truncated_inputs") == 0


@pytest.mark.parametrize(
    "item",
    [
        [2, *[4] * 12, 3],  # ids
        "x" * (250 * tiny.MAX_LENGTH) + " a",  # one word, and more characters than may matter
        "a" + " " * (250 * tiny.MAX_LENGTH) + "a",
    ],
)
def test_whatever_is_left_out_counts(app: ASGIApp, item: Any) -> None:
    assert told(post(app, "/embed", {"inputs": [item]})) == ("1", "0")


@pytest.mark.parametrize("direction", ["left", "right"])
def test_either_end_may_be_cut(app: ASGIApp, direction: str) -> None:
    body = {"inputs": LONG, "truncation_direction": direction}
    assert told(post(app, "/embed", body)) == ("1", "0")


def test_a_prompt_takes_room(app: ASGIApp) -> None:
    body = {"inputs": EXACTLY, "prompt_name": "query"}
    assert told(post(app, "/embed", body)) == ("1", "0")


def test_two_long_texts_of_a_pair_are_one_input(make_kind: MakeKind) -> None:
    letters = "a " * 750, "b " * 750  # long enough to be encoded apart
    assert told(post(make_kind("classifier"), "/predict", {"inputs": [["a"], letters]})) == (
        "1",
        "1",
    )


def test_headers_stay_short(make_kind: MakeKind) -> None:
    app = make_kind("embedding", max_client_batch_size=1_000)
    count, indexes = told(post(app, "/embed", {"inputs": [LONG] * 300}))
    assert count == "300"
    assert indexes == ",".join(map(str, range(MOST_NAMED)))
