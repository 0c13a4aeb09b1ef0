"""Items: answers of a batch are those of the route, and an unhealthy model gives none."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.types import ASGIApp

from app.api.batches import items
from app.api.batches.items import Items
from app.api.http.service import Service
from app.application import build_each
from app.batches.input_lines import Line
from app.batches.results import Answer
from app.batches.steps import NotNow
from app.errors import BackendFailed
from app.inference.providers.session import Session
from app.options.settings import Settings
from tools.asgi import post

MakeService = Callable[..., tuple[Service, ASGIApp]]


def computed(service: Service, bodies: list[Any]) -> list[Answer]:
    lines = [Line(str(place), json.dumps(one).encode(), 0) for place, one in enumerate(bodies)]
    return asyncio.run(Items(service).compute(lines))


def test_bodies_are_those_of_the_route(make_service: MakeService) -> None:
    service, app = make_service()
    bodies = [
        {"input": "a b c"},
        {"input": ["a", "b c"], "encoding_format": "base64", "model": "m"},
        {"input": [[5, 6], [7]], "dimensions": 4},
        {"input": ["a"] * 2048},
        {"input": "a", "output_dtype": "ubinary"},
        {"input": ""},
        {"input": "a", "dimensions": 99},
        {"input": ["a"] * 2049},
    ]
    found = computed(service, bodies)
    assert [one.status for one in found] == [200] * 5 + [400, 422, 422]
    for answer, body in zip(found, bodies, strict=True):
        reply = post(app, "/v1/embeddings", body)
        assert (answer.status, answer.body) == (reply.status, reply.content)
    assert found[0].tokens == json.loads(found[0].body)["usage"]["total_tokens"]
    assert found[5].tokens == 0


def test_a_body_of_another_shape_has_openais_error(make_service: MakeService) -> None:
    service, app = make_service()
    [answer] = computed(service, [{"input": 5}])
    reply = post(app, "/v1/embeddings", {"input": 5})
    assert json.loads(answer.body)["error"]["message"] == reply.text
    assert answer.status == reply.status == 422


def test_requests_of_clients_lose_no_permit(make_service: MakeService) -> None:
    service, app = make_service(max_concurrent_requests=1)
    [answer] = computed(service, [{"input": ["a"] * 100}])
    assert answer.status == 200
    permits = service.model.engine.admission.permits
    assert (permits.held, permits.entered) == (0, 0)
    assert post(app, "/embed", {"inputs": "a"}).status == 200


def test_requests_of_a_batch_are_no_requests_of_clients(make_service: MakeService) -> None:
    service, _ = make_service()
    computed(service, [{"input": "a"}])
    assert "te_request_count" not in service.metrics.render()


def test_an_unhealthy_model_answers_nothing(
    make_service: MakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    service, _ = make_service()

    def fail(*_: object) -> None:
        raise BackendFailed("Backend error: gone")

    monkeypatch.setattr(Session, "run", fail)
    with pytest.raises(NotNow, match="gone"):
        computed(service, [{"input": "a"}, {"input": "b"}])
    monkeypatch.undo()
    assert [one.status for one in computed(service, [{"input": "a"}])] == [200]


def test_answers_that_are_too_large_together_are_computed_later(
    make_service: MakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    service, _ = make_service()
    bodies: list[Any] = [{"input": ["a"] * (9 if number % 5 == 0 else 2)} for number in range(30)]
    bodies[17] = {"input": ""}
    whole = computed(service, bodies)
    assert len(whole) == 30
    vector = len(json.loads(whole[0].body)["data"][0]["embedding"]) * 4
    monkeypatch.setattr(items, "GROUP_ANSWER_BYTES", 10 * vector)
    found: list[Answer] = []
    while len(found) < 30:
        some = computed(service, bodies[len(found) :])
        inputs = [len(one["input"]) for one in bodies[len(found) : len(found) + len(some)]]
        assert len(some) == 1 or sum(inputs) <= 10 + inputs[0]
        found += some
    assert [one.status for one in found] == [one.status for one in whole]
    assert [one.tokens for one in found] == [one.tokens for one in whole]


def test_the_only_model_answers_to_any_name(make_service: MakeService) -> None:
    assert Items(make_service()[0]).knows("whatever")


def test_each_of_several_models_computes_its_own_requests(folders: dict[str, Path]) -> None:
    names = ("one", "two")
    prepared = [
        (Settings(model_id=str(folders[kind]), served_model_name=name), folders[kind])
        for kind, name in zip(("embedding", "whole"), names, strict=True)
    ]
    service = build_each(prepared)
    knows = Items(service).knows
    found = computed(service, [{"input": "a", "model": name} for name in (*names, "three")])
    asyncio.run(service.models.close())
    assert [json.loads(one.body)["model"] for one in found[:2]] == list(names)
    assert found[2].status == 404
    assert [knows(name) for name in (*names, "one-query", "three")] == [True] * 3 + [False]
