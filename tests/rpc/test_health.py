"""Health: the serving services follow the model's kind and health, and none serves at the end."""

import asyncio
from collections.abc import Callable
from typing import Any

import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from h2.connection import H2Connection
from h2.settings import SettingCodes, Settings
from starlette.types import ASGIApp

from app.api.http.service import Service
from app.errors import Unhealthy
from app.inference.several.served_models import ServedModels
from app.rpc.messages import SERVICES
from tests.rpc.conftest import Play
from tests.support import rpc
from tests.support.rpc import Client

MakeService = Callable[..., tuple[Service, ASGIApp]]


WATCH = [
    (":method", "POST"),
    (":path", "/grpc.health.v1.Health/Watch"),
    (":scheme", "http"),
    (":authority", "x"),
    ("content-type", "application/grpc"),
    ("te", "trailers"),
]


async def status(client: Client, name: str) -> str:
    stub = health_pb2_grpc.HealthStub(client.channel)
    answer = await stub.Check(health_pb2.HealthCheckRequest(service=name))
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))


async def serving(client: Client) -> set[str]:
    """Return the services that serve; the one without a name is the whole server."""
    names = ("", *(f"tei.v1.{name}" for name in SERVICES))
    return {
        name.removeprefix("tei.v1.") for name in names if await status(client, name) == "SERVING"
    }


@pytest.mark.parametrize(
    ("kind", "computed"),
    [
        ("embedding", {"Embed"}),
        ("splade", {"Embed"}),
        ("multi_vector", {"Embed"}),
        ("classifier", {"Predict"}),
        ("reranker", {"Predict", "Rerank"}),
    ],
)
def test_the_services_of_a_kind_serve(play: Play, kind: str, computed: set[str]) -> None:
    assert play(serving, kind) == {"", "Info", "Tokenize", *computed}


def test_a_model_that_fails_does_not_serve_until_it_answers_again(
    make_service: MakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    service, _ = make_service()
    is_broken = False

    async def check(_: ServedModels) -> None:
        if is_broken:
            raise Unhealthy

    monkeypatch.setattr(ServedModels, "check", check)
    monkeypatch.setattr("app.rpc.health.TICK_SECONDS", 0.01)

    async def scenario(client: Client) -> Any:
        nonlocal is_broken
        stub = health_pb2_grpc.HealthStub(client.channel)
        told = stub.Watch(health_pb2.HealthCheckRequest(service="tei.v1.Embed"))
        seen = [(await told.read()).status]
        is_broken = True
        seen.append((await told.read()).status)
        during = await serving(client)
        is_broken = False
        seen.append((await told.read()).status)
        told.cancel()
        return seen, during

    seen, during = rpc.run(scenario, service)
    assert seen == [1, 2, 1]  # SERVING, NOT_SERVING
    assert during == {"Info", "Tokenize"}


def test_nothing_serves_from_the_signal_on_and_calls_are_answered(
    make_service: MakeService,
) -> None:
    service, _ = make_service(drain_seconds=0.5)

    async def scenario(client: Client) -> Any:
        assert await serving(client)
        service.lifecycle.end()
        while await serving(client):
            pass
        return await client.ask("Embed", inputs="a")

    assert len(rpc.run(scenario, service).embeddings) == 16


def test_an_unknown_service_is_not_found(play: Play) -> None:
    async def scenario(client: Client) -> str:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await status(client, "tei.v1.Other")
        return str(caught.value.code().name)

    assert play(scenario) == "NOT_FOUND"


def test_a_client_that_reads_nothing_delays_no_other(
    make_service: MakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HTTP/2 lets a client refuse every byte of an answer."""
    service, _ = make_service(shutdown_seconds=30)
    monkeypatch.setattr("app.rpc.health.TICK_SECONDS", 0.01)

    async def scenario(client: Client) -> Any:
        _, writer = await asyncio.open_connection("127.0.0.1", client.port)
        protocol = H2Connection()
        protocol.local_settings = Settings(
            client=True, initial_values={SettingCodes.INITIAL_WINDOW_SIZE: 0}
        )
        protocol.initiate_connection()
        protocol.send_headers(1, WATCH)
        protocol.send_data(1, b"\0\0\0\0\0")  # an empty message
        writer.write(protocol.data_to_send())
        await writer.drain()
        for _ in range(3):
            assert await serving(client)
        service.lifecycle.end()
        while await serving(client):
            pass
        writer.close()

    rpc.run(scenario, service)


def test_watchers_are_told_of_the_end_and_ended(make_service: MakeService) -> None:
    service, _ = make_service(shutdown_seconds=30)

    async def scenario(client: Client) -> Any:
        stub = health_pb2_grpc.HealthStub(client.channel)
        told = stub.Watch(health_pb2.HealthCheckRequest())
        assert (await told.read()).status == 1
        service.lifecycle.end()
        assert (await told.read()).status == 2
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await told.read()
        return rpc.fault(caught.value)

    assert rpc.run(scenario, service) == ("UNAVAILABLE", "the service is shutting down")
