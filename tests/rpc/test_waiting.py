"""Waiting: a stream's messages get bytes in order, and fail only for bytes held by others."""

import asyncio
from collections.abc import Callable
from typing import Any

import grpc.aio
import pytest
from starlette.types import ASGIApp

from app.api.http.byte_budget import Bodies, BodyLimits
from app.api.http.service import Service
from app.errors import Overloaded
from app.rpc.waiting import Line
from tests.rpc.conftest import Play
from tests.support import rpc
from tests.support.rpc import Client, fault

MakeService = Callable[..., tuple[Service, ASGIApp]]

TEXT = "the cat " * 360  # whose tokens may take 230 kB


@pytest.fixture
def bodies() -> Bodies:
    return Bodies(BodyLimits(bytes_each=100_000, bytes_together=1_000_000, seconds=1))


def test_texts_that_do_not_fit_together_are_answered_one_after_another(play: Play) -> None:
    async def scenario(client: Client) -> list[int]:
        answers = await client.stream("TokenizeStream", [{"inputs": TEXT}] * 30)
        return [len(answer.tokens) for answer in answers]

    assert play(scenario, max_concurrent_bytes=1_000_000, payload_limit=100_000) == [720] * 30


@pytest.mark.parametrize(
    ("kind", "name", "message"),
    [
        ("embedding", "TokenizeStream", {"inputs": TEXT}),
        ("reranker", "RerankStream", {"query": "a", "text": TEXT, "truncate": True}),
    ],
)
def test_bytes_held_by_others_for_long_fail_a_stream(
    make_service: MakeService, folders: Any, kind: str, name: str, message: dict[str, Any]
) -> None:
    service, _ = make_service(
        model_id=str(folders[kind]),
        max_concurrent_bytes=1_000_000,
        payload_limit=100_000,
        client_timeout_seconds=0.1,
    )

    async def scenario(client: Client) -> tuple[str, str]:
        with service.bodies.holding() as others:
            others.take(1_000_000)
            asked = client.collected if name == "RerankStream" else client.stream
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await asked(name, [message])
            return fault(caught.value)

    assert rpc.run(scenario, service) == ("RESOURCE_EXHAUSTED", "Model is overloaded")
    assert 'te_request_failure{err="overloaded"} 1' in service.metrics.render()
    assert service.bodies.free == service.bodies.total


def test_messages_are_served_in_order(bodies: Bodies) -> None:
    """A small message does not take the bytes that a large one before it waits for."""

    async def scenario() -> None:
        line, served = Line(seconds=100), list[int]()

        async def hold(number: int, size: int) -> None:
            with bodies.holding() as share:
                await line.hold(share, 10, size, come)
                served.append(number)
                await ended.wait()

        async def come() -> None: ...

        ended = asyncio.Event()
        with bodies.holding() as others:
            others.take(900_000)
            tasks = [asyncio.create_task(hold(0, 400_000)), asyncio.create_task(hold(1, 10))]
            for _ in range(100):
                await asyncio.sleep(0)
            assert not served
        ended.set()
        await asyncio.gather(*tasks)
        assert served == [0, 1]

    asyncio.run(scenario())


def test_a_message_whose_turn_has_not_come_does_not_time_out(bodies: Bodies) -> None:
    async def scenario() -> None:
        first = asyncio.Event()

        async def turn() -> None:
            await first.wait()

        with bodies.holding() as others, bodies.holding() as share:
            others.take(1_000_000)
            waiting = asyncio.create_task(Line(seconds=0.01).hold(share, 10, 10, turn))
            done, _ = await asyncio.wait({waiting}, timeout=0.2)
            assert not done
            first.set()
            with pytest.raises(Overloaded):
                await waiting

    asyncio.run(scenario())
