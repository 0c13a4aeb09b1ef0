"""Routing: the route of an input by the name of a prompt, and the prompt before it."""

import pytest

from app.errors import InvalidInput
from app.model.parts import Graph, Route
from app.model.routing import Routing

APART = Graph("other.onnx", "float32", ("cpu",), ("input_ids",), ("other",))
QUERY = Route("small", ("query",), "other", 512, special_tokens=False, graph=APART)
DOCUMENT = Route("large", ("document", "text"), "sentence_embedding", 256)
PROMPTS = {"query": "query: ", "passage": "passage: ", "title": "title: "}
ROUTING = Routing((QUERY, DOCUMENT), "large", PROMPTS)


@pytest.mark.parametrize(
    ("name", "route", "prompt"),
    [
        ("query", QUERY, "query: "),
        ("search_query", QUERY, "query: "),
        ("document", DOCUMENT, ""),  # a prompt of its own name, or none
        ("search_document", DOCUMENT, ""),
        ("passage", DOCUMENT, "passage: "),
        ("text", DOCUMENT, None),
    ],
)
def test_a_name_chooses_a_route_and_a_prompt(name: str, route: Route, prompt: str | None) -> None:
    assert ROUTING.knows(name)
    assert (ROUTING.route(name), ROUTING.prompt(name)) == (route, prompt)


@pytest.mark.parametrize("name", [None, "title", "unheard of"])
def test_any_other_name_takes_the_default(name: str | None) -> None:
    assert ROUTING.route(name) == DOCUMENT
    assert name is None or not ROUTING.knows(name)


def test_without_a_default_one_has_to_be_chosen() -> None:
    routing = Routing((QUERY, DOCUMENT), None, PROMPTS)
    assert routing.route("query") == QUERY
    for name in (None, "title"):
        with pytest.raises(InvalidInput, match=r'one of \["query", "document", "text"\]'):
            routing.route(name)


def test_other_services_names_count_only_where_there_is_such_a_side() -> None:
    routing = Routing((Route("a", ("QRY",), "x", 8), Route("b", ("DOC",), "y", 8)), "b", {})
    assert routing.names == ("QRY", "DOC")
    assert not routing.knows("search_query")
    assert ROUTING.names == (
        "query",
        "document",
        "text",
        "search_query",
        "search_document",
        "passage",
    )


def test_a_model_with_one_way_has_no_routes() -> None:
    routing = Routing(prompts=PROMPTS)
    assert routing.names == ()
    assert (routing.route("query"), routing.primary, routing.knows("query")) == (None, None, False)
    assert ROUTING.primary == DOCUMENT
