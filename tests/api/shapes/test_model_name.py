"""A model's name in a request, and the side behind it."""

import pytest

from app.api.shapes.model_name import TextSide, prompt_of, side_of, split_side


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("org/m-query", ("org/m", "query")),
        ("m-passage", ("m", "passage")),
        ("m-query-passage", ("m-query", "passage")),
        ("m", ("m", None)),
        ("m-Query", ("m-Query", None)),
        ("m-document", ("m-document", None)),
        ("m_query", ("m_query", None)),
        ("query", ("query", None)),
        ("-query", ("-query", None)),
        ("", ("", None)),
    ],
)
def test_a_side_stands_behind_a_name(name: str, parts: tuple[str, TextSide | None]) -> None:
    assert split_side(name) == parts


def test_a_model_s_own_name_has_no_side() -> None:
    assert side_of("org/my-query", ["org/my-query"]) is None
    assert side_of("org/my-query-query", ["org/my-query"]) == "query"
    assert side_of("other-passage", ["org/my-query"]) == "passage"
    assert side_of("other", ["org/my-query"]) is None
    assert side_of(None, []) is None


@pytest.mark.parametrize(
    ("side", "known", "prompt"),
    [
        ("query", ["document", "query"], "query"),
        ("query", ["search_query", "search_document"], "search_query"),
        ("passage", ["query", "document"], "document"),
        ("passage", ["query", "document", "passage"], "passage"),
        ("passage", ["retrieval.query", "retrieval.passage"], "retrieval.passage"),
        ("passage", ["query"], None),
        ("query", [], None),
    ],
)
def test_the_prompt_of_a_side_is_one_that_the_model_has(
    side: TextSide, known: list[str], prompt: str | None
) -> None:
    assert prompt_of(side, known) == prompt
