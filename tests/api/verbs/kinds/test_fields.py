"""`output_types`: valid and invalid values, on both routes."""

import json

import pytest

from tests.api.conftest import MakeKind
from tools.asgi import post


@pytest.mark.parametrize("body", [{"inputs": "a"}, {"input": "a"}])
@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ('["lexical"]', "unknown variant `lexical`, expected one of `dense`, `sparse`, `multi_vector`"),
        ("[]", "invalid length 0, expected at least one of `dense`, `sparse`, `multi_vector`"),
        ('"dense"', 'invalid type: string "dense", expected an array of `dense`, `sparse`, `multi_vector`'),
        ("[7]", "invalid type: integer `7`, expected one of `dense`, `sparse`, `multi_vector`"),
    ],
)  # fmt: skip
def test_another_value_is_422_with_the_field_the_value_and_what_is_allowed(
    make_kind: MakeKind, body: dict[str, str], value: str, reason: str
) -> None:
    path = "/embed" if "inputs" in body else "/v1/embeddings"
    reply = post(make_kind("whole"), path, {**body, "output_types": json.loads(value)})
    assert reply.status == 422
    assert f"output_types: {reason} at line 1 column " in reply.text


def test_an_instance_of_vertex_may_have_it(make_kind: MakeKind) -> None:
    app = make_kind("whole")
    body = {"inputs": ["a b", "c"], "output_types": ["multi_vector", "dense", "sparse"]}
    own = post(app, "/embed", body).json
    assert post(app, "/vertex", {"instances": [body]}).json == {"predictions": [own]}
