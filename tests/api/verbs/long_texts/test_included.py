"""Optional facts about inputs in the entries of `/v1/embeddings`."""

from typing import Any

import pytest
from starlette.types import ASGIApp

from tests.api.conftest import MakeKind
from tools import tiny
from tools.asgi import post

FITS = "a b c"
EXACTLY = " ".join(["a"] * (tiny.MAX_LENGTH - 2))  # with both special tokens
LONG = " ".join(["a"] * (tiny.MAX_LENGTH - 1))


def test_entries_say_what_they_are_asked_for(app: ASGIApp) -> None:
    body = {"input": [FITS, LONG, EXACTLY], "include": ["truncated", "tokens"]}
    data = post(app, "/v1/embeddings", body).json["data"]
    assert [list(one) for one in data] == [
        ["object", "embedding", "index", "tokens", "truncated"]
    ] * 3
    assert [one["tokens"] for one in data] == [5, tiny.MAX_LENGTH, tiny.MAX_LENGTH]
    assert [one["truncated"] for one in data] == [False, True, False]
    [one] = post(app, "/v1/embeddings", {"input": LONG, "include": ["truncated"]}).json["data"]
    assert list(one) == ["object", "embedding", "index", "truncated"]


@pytest.mark.parametrize(
    ("include", "fault"),
    [
        (["usage"], "include[0]: unknown variant `usage`, expected `tokens` or `truncated`"),
        ("tokens", 'include: invalid type: string "tokens", expected a sequence'),
    ],
)
def test_entries_can_say_nothing_else(app: ASGIApp, include: Any, fault: str) -> None:
    reply = post(app, "/v1/embeddings", {"input": FITS, "include": include})
    assert reply.status == 422
    assert fault in reply.text


def test_nothing_is_included_that_is_not_named(app: ASGIApp) -> None:
    plain = post(app, "/v1/embeddings", {"input": LONG})
    assert post(app, "/v1/embeddings", {"input": LONG, "include": []}).content == plain.content


def test_entries_of_several_vectors_say_it_too(make_kind: MakeKind) -> None:
    body = {"input": [FITS, LONG], "output_types": ["sparse"], "include": ["truncated", "tokens"]}
    data = post(make_kind("whole"), "/v1/embeddings", body).json["data"]
    assert [list(one) for one in data] == [["object", "sparse", "index", "tokens", "truncated"]] * 2
    assert [one["tokens"] for one in data] == [5, tiny.MAX_LENGTH]
    assert [one["truncated"] for one in data] == [False, True]
