"""/tokenize and /decode."""

from typing import Any

import pytest

from tests.api.conftest import MakeKind
from tests.support.scores import refused
from tools import tiny
from tools.asgi import post


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


def test_a_text_of_many_tokens_is_tokenized_in_linear_time(make_kind: MakeKind) -> None:
    """Each input has the largest number of characters allowed."""
    reply = post(make_kind("embedding"), "/tokenize", {"inputs": ["a " * 1500] * 32})
    assert [len(tokens) for tokens in reply.json] == [1502] * 32
