"""Gathering: requests of one turn of the event loop share a batch."""

import asyncio
from collections.abc import Callable

from starlette.types import ASGIApp

from app.api.http.service import Service
from app.errors import BackendFailed
from app.inference.admission import InputOptions

MakeService = Callable[..., tuple[Service, ASGIApp]]
TEXTS = ("a", "b", "the cat", "a b c")


async def embedded(service: Service) -> list[object]:
    engine = service.model.engine
    asked = (engine.embed([text], InputOptions()) for text in TEXTS)
    return list(await asyncio.gather(*asked, return_exceptions=True))


def test_requests_of_one_turn_share_a_batch(make_service: MakeService) -> None:
    service, _ = make_service()
    asyncio.run(embedded(service))
    lines = service.metrics.render().splitlines()
    assert "te_batch_next_size_count 1" in lines
    assert f"te_batch_next_size_sum {len(TEXTS)}" in lines


def test_every_request_is_failed_when_the_worker_has_ended(make_service: MakeService) -> None:
    service, _ = make_service()
    service.model.worker.close()
    errors = asyncio.run(embedded(service))
    assert [type(error) for error in errors] == [BackendFailed] * len(TEXTS)


def test_a_turn_follows_another(make_service: MakeService) -> None:
    service, _ = make_service()
    engine = service.model.engine

    async def one_by_one() -> None:
        for _ in range(3):
            await engine.embed(["a"], InputOptions())

    asyncio.run(one_by_one())
    assert "te_batch_next_size_count 3" in service.metrics.render().splitlines()
