"""Bounds: calls and streams beyond them are refused, and others go on."""

from collections.abc import Callable
from typing import Any

import grpc.aio
import pytest
from starlette.types import ASGIApp

from app.api.http.service import Service
from app.rpc.bounds import STREAMS_FOR_EACH_MESSAGE
from app.rpc.messages import named
from tests.support import rpc
from tests.support.rpc import Client, come, counts, fault

MakeService = Callable[..., tuple[Service, ASGIApp]]

EMBED = named("EmbedRequest")


def test_more_streams_than_may_be_read_are_refused(
    make_service: MakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each may hold an incomplete message; other calls go on."""
    monkeypatch.setattr("app.rpc.bounds.LEAST_MESSAGES", 1)
    service, _ = make_service(max_concurrent_bytes=1_000_000)

    async def scenario(client: Client) -> Any:
        idle = [client.call("EmbedStream")() for _ in range(STREAMS_FOR_EACH_MESSAGE)]
        for call in idle:
            await call.write(EMBED(inputs="a"))
            assert (await call.read()).embeddings
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await client.stream("EmbedStream", [{"inputs": "a"}])
        idle[0].cancel()
        await come(lambda: len(counts(service)) == 2)
        return (
            fault(caught.value),
            (await client.ask("Embed", inputs="a")).embeddings,
            await client.stream("EmbedStream", [{"inputs": "a"}]),
        )

    refused, vector, streamed = rpc.run(scenario, service)
    assert refused == ("RESOURCE_EXHAUSTED", "too many streams at a time")
    assert len(vector) == 16
    assert len(streamed) == 1


def test_more_calls_than_may_be_made_are_refused(make_service: MakeService) -> None:
    service, _ = make_service(max_connections=2)

    async def scenario(client: Client) -> Any:
        idle = [client.call("EmbedStream")() for _ in range(2)]
        for call in idle:
            await call.write(EMBED(inputs="a"))
            assert (await call.read()).embeddings
        refused = await client.refused("Embed", inputs="a")
        idle[0].cancel()
        await come(lambda: len(counts(service)) == 1)
        return refused, (await client.ask("Embed", inputs="a")).embeddings

    refused, vector = rpc.run(scenario, service)
    assert refused == ("RESOURCE_EXHAUSTED", "too many calls at a time")
    assert len(vector) == 16
