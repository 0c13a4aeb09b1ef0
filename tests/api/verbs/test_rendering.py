"""Vectors as JSON: every number is the model's float32, in whatever form it is sent."""

import asyncio
import json
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from starlette.types import ASGIApp

from app.api.verbs import rendering
from app.api.verbs.openai import Embeddings
from app.api.verbs.rendering import numpy_json
from app.api.verbs.tei_embed import Embed, EmbedAll
from app.inference.computing import Computed, Timings
from app.inference.served_model import ServedModel
from app.options.settings import Settings
from app.telemetry.metrics import Metrics
from tools.asgi import post

TIMINGS = Timings(0.0, 0.0, 0.0)
GROUP = 8  # numbers per group: a few rows, or less than one


@pytest.fixture(autouse=True, scope="module")
def small_groups() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rendering, "GROUP_NUMBERS", GROUP)
        yield


@pytest.fixture(scope="module")
def model(tiny_model: Path) -> Iterator[ServedModel]:
    """A model without a service around it."""
    opened = ServedModel.open(tiny_model, Settings(model_id="tiny"), Metrics())
    yield opened
    asyncio.run(opened.close())


def bits(rows: Any) -> list[list[int]]:
    """Numbers as the bits of float32, in which -0.0 is not 0.0."""
    return [np.array(row, np.float32).view(np.uint32).tolist() for row in rows]


@st.composite
def vectors(draw: st.DrawFn) -> NDArray[np.float32]:
    """Rows of any finite float32, in one group of those that are written together, or in several."""
    width, rows = draw(st.integers(1, GROUP + 1)), draw(st.integers(1, 5))
    seeds = draw(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=20))
    found = np.resize(np.array(seeds, np.uint32), (rows, width)).view(np.float32).copy()
    found[~np.isfinite(found)] = 1.5
    return found


def asked(verb: Any, **more: Any) -> Any:
    """Return a request of a verb with additional fields."""
    defaults = {name: field.default for name, field in verb.shape.fields.items()}
    return verb.build(defaults | more)


@given(rows=vectors())
def test_floats_and_base64_are_the_same_vectors(
    model: ServedModel, rows: NDArray[np.float32]
) -> None:
    verb = Embeddings()
    computed = Computed(rows, (2,) * len(rows), TIMINGS)
    answers = {}
    for encoding in ("float", "base64"):
        request = asked(verb, input=(["a"] * len(rows), True), encoding_format=encoding)
        answers[encoding] = json.loads(b"".join(verb.render(model, request, computed)))
        assert answers[encoding]["model"] == "tiny"
    floats, encoded = (answer["data"] for answer in answers.values())
    assert bits(one["embedding"] for one in floats) == bits(rows)
    decoded = [np.frombuffer(b64decode(one["embedding"]), "<f4") for one in encoded]
    assert bits(decoded) == bits(rows)
    for answer in answers.values():
        assert [one["index"] for one in answer["data"]] == list(range(len(rows)))
        assert answer["usage"] == {"prompt_tokens": 2 * len(rows), "total_tokens": 2 * len(rows)}


@given(rows=vectors())
def test_groups_of_rows_make_one_array(model: ServedModel, rows: NDArray[np.float32]) -> None:
    verb = Embed()
    request = asked(verb, inputs=(["a"] * len(rows), True))
    content = b"".join(verb.render(model, request, Computed(rows, (2,) * len(rows), TIMINGS)))
    assert bits(json.loads(content)) == bits(rows)


@given(inputs=st.lists(vectors(), min_size=1, max_size=3))
def test_token_vectors_make_one_array_an_input(
    model: ServedModel, inputs: list[NDArray[np.float32]]
) -> None:
    verb = EmbedAll()
    request = asked(verb, inputs=(["a"] * len(inputs), True))
    content = b"".join(verb.render(model, request, Computed(inputs, (2,) * len(inputs), TIMINGS)))
    found = json.loads(content)
    assert [bits(rows) for rows in found] == [bits(rows) for rows in inputs]


def test_numbers_are_the_shortest_that_give_the_float32_back(app: ASGIApp) -> None:
    content = post(app, "/embed", {"inputs": "hello"}).content
    values = json.loads(content)[0]
    assert b" " not in content
    assert all(str(np.float32(value)) == repr(value) or "e" in repr(value) for value in values)
    longest = max(len(part) for part in content.strip(b"[]").split(b","))
    assert longest <= len("-0.0012345678e-05")


def test_numbers_have_an_exponent_where_serde_s_have_one() -> None:
    values = np.array(
        [1e-5, 1.234e-7, 1e-6, 1e12, 1e13, 1.0, -0.0, 0.1, np.nan, np.inf], np.float32
    )
    assert numpy_json(values) == (
        b"[0.00001,1.234e-7,0.000001,1000000000000.0,1e+13,1.0,-0.0,0.1,null,null]"
    )
