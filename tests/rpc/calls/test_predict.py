"""Predict: labels and scores are those of HTTP."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.types import ASGIApp

from app.api.http.service import Service
from tests.rpc.conftest import Play
from tests.support import rpc
from tests.support.rpc import Client
from tools.asgi import post

MakeService = Callable[..., tuple[Service, ASGIApp]]


def scored(answer: Any) -> list[tuple[str, np.float32]]:
    return [(one.label, np.float32(one.score)) for one in answer.predictions]


@pytest.mark.parametrize("kind", ["classifier", "reranker"])
@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize("inputs", [["the cat"], ["the cat", "a dog"]])
def test_scores_are_those_of_http(
    make_service: MakeService, folders: dict[str, Path], kind: str, raw: bool, inputs: list[str]
) -> None:
    service, app = make_service(model_id=str(folders[kind]))
    pair = {"inputs": inputs, "raw_scores": raw}

    async def scenario(client: Client) -> list[Any]:
        found = [await client.ask("PredictPair", **pair)]
        found += await client.stream("PredictPairStream", [pair])
        if len(inputs) == 1:
            one = pair | {"inputs": inputs[0]}
            found.append(await client.ask("Predict", **one))
            found += await client.stream("PredictStream", [one])
        return found

    answers = rpc.run(scenario, service)
    expected = post(app, "/predict", {"inputs": inputs, "raw_scores": raw}).json
    for answer in answers:
        assert scored(answer) == [(one["label"], np.float32(one["score"])) for one in expected]


@pytest.mark.parametrize("inputs", [[], ["a", "b", "c"]])
def test_a_pair_has_one_or_two_texts(play: Play, inputs: list[str]) -> None:
    expected = (
        "INVALID_ARGUMENT",
        f"`inputs` must have a single or two elements. Given: {len(inputs)}",
    )
    assert (
        play(lambda client: client.refused("PredictPair", inputs=inputs), "classifier") == expected
    )


def test_a_model_of_another_kind_has_no_scores(play: Play) -> None:
    expected = ("FAILED_PRECONDITION", "Backend error: Model is not a classifier model")
    assert play(lambda client: client.refused("Predict", inputs="a")) == expected
