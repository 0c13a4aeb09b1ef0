"""Schemas of bodies in OpenAPI, with a service's limits."""

from app.api.docs.limits import Limits
from app.api.docs.schemas import object_schema
from app.api.shapes.fields import ArrayOf, Field, Shape, Variant, boolean, string, unsigned
from app.api.shapes.inputs import embed_input

LIMITS = Limits(inputs=32, dimensions=384, prompts=("query", "passage"), body_bytes=2_000_000)
TEXT = {"type": "string"}


def test_a_field_is_required_unless_it_has_a_default() -> None:
    shape = Shape("Asked", Field("query", string), Field("truncate", boolean, default=False))
    found = object_schema(shape, LIMITS)
    assert found["required"] == ["query"]
    assert found["properties"] == {
        "query": TEXT,
        "truncate": {"type": "boolean", "nullable": True, "default": False},
    }


def test_fields_have_the_limits_of_the_service() -> None:
    shape = Shape(
        "Asked",
        Field("texts", ArrayOf(string)),
        Field("sentences", ArrayOf(string)),
        Field("dimensions", unsigned, default=None),
        Field("prompt_name", string, default=None),
    )
    found = object_schema(shape, LIMITS)["properties"]
    assert (found["texts"]["minItems"], found["texts"]["maxItems"]) == (1, 32)
    assert found["sentences"]["maxItems"] == 31  # one input stands beside them
    assert (found["dimensions"]["minimum"], found["dimensions"]["maximum"]) == (1, 384)
    assert found["prompt_name"]["description"].endswith("there are: `query`, `passage`.")


def test_a_dialect_may_promise_more_inputs_than_are_configured() -> None:
    shape = Shape("Asked", Field("input", embed_input), promised=2048)
    assert object_schema(shape, LIMITS)["properties"]["input"]["anyOf"][-1]["maxItems"] == 2048


def test_a_variant_has_one_spelling_of_each_value() -> None:
    side = Variant("`left` or `right`", {"left": 0, "Left": 0, "right": 1}, "Side")
    found = object_schema(Shape("Asked", Field("side", side)), LIMITS)
    assert found["properties"]["side"] == {"type": "string", "enum": ["left", "right"]}
