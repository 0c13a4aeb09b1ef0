"""Choices at start, prompts and poolings, and the reasons why there is no start."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.types import ASGIApp

from app.api.http.service import Service
from app.errors import StartupError
from tools import tiny
from tools.asgi import post, request

MakeService = Callable[..., tuple[Service, ASGIApp]]


def expected(text: str, dimensions: int | None = None) -> Any:
    return tiny.unit(tiny.reference(tiny.ids_of(text))[:dimensions])


def test_a_default_prompt_goes_before_every_input(make_service: MakeService) -> None:
    for setting in ({"default_prompt_name": "query"}, {"default_prompt": "query: "}):
        _, app = make_service(**setting)
        reply = post(app, "/v1/embeddings", {"input": "cat"})
        vector = reply.json["data"][0]["embedding"]
        np.testing.assert_allclose(vector, expected("query: cat"), atol=1e-6)
        replaced = post(app, "/embed", {"inputs": "cat", "prompt_name": "passage"})
        np.testing.assert_allclose(replaced.json, [expected("cat")], atol=1e-6)


@pytest.mark.parametrize("setting", [{"default_prompt": "q: "}, {"default_prompt_name": "query"}])
def test_a_default_prompt_of_a_model_that_takes_pairs_ends_the_start(
    make_service: MakeService, tmp_path: Path, setting: dict[str, str]
) -> None:
    tiny.build(tmp_path, "reranker")
    with pytest.raises(StartupError, match=r"is a reranker, .*: leave the option out$") as caught:
        make_service(model_id=str(tmp_path), **setting)
    assert str(caught.value).startswith(f"--{next(iter(setting)).replace('_', '-')} (")


@pytest.mark.parametrize(
    ("prompts", "fault"),
    [
        (tiny.PROMPTS, 'it was not found in the Sentence Transformers prompts. Available prompts: ["query", "passage"]'),
        ({}, "no prompts were found in the Sentence Transformers configuration"),
    ],
)  # fmt: skip
def test_a_default_prompt_that_is_not_there_ends_the_start(
    make_service: MakeService, tmp_path: Path, prompts: dict[str, str], fault: str
) -> None:
    tiny.seal(tmp_path, replace(tiny.build(tmp_path), prompts=prompts))
    with pytest.raises(StartupError) as caught:
        make_service(model_id=str(tmp_path), default_prompt_name="nope")
    assert f"`default-prompt-name` is set to `nope` but {fault}" in str(caught.value)


def test_a_prompt_by_name_where_the_model_has_none(
    make_service: MakeService, tmp_path: Path
) -> None:
    tiny.seal(tmp_path, replace(tiny.build(tmp_path), prompts={}))
    _, app = make_service(model_id=str(tmp_path))
    reply = post(app, "/embed", {"inputs": "a", "prompt_name": "query"})
    assert (reply.status, reply.json["error_type"]) == (422, "Validation")
    assert reply.json["error"] == (
        "Input validation error: `default-prompt-name` is set to `query` but no prompts were found "
        "in the Sentence Transformers configuration"
    )


def test_another_pooling_can_be_chosen_at_start(make_service: MakeService) -> None:
    _, app = make_service(pooling="cls")
    reply = post(app, "/embed", {"inputs": "the cat"})
    np.testing.assert_allclose(
        reply.json, [tiny.unit(tiny.token_vectors(tiny.ids_of("the cat"))[0])], atol=1e-6
    )
    assert request(app, "GET", "/info").json["model_type"] == {"embedding": {"pooling": "cls"}}
