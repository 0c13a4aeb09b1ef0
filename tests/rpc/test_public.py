"""Calls without a key: few at a time, however their clients behave."""

import asyncio
from typing import Any

import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from app.rpc.public import LASTING, READ_AT_A_TIME
from tests.rpc.conftest import Play
from tests.support.rpc import Client, come, fault

HEALTH = "/grpc.health.v1.Health/"
REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
ASKED = health_pb2.HealthCheckRequest()


async def ended(call: Any) -> tuple[str, str]:
    """Return the status and the message of a call that fails."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return fault(error)
    raise AssertionError


async def is_serving(client: Client) -> bool:
    answer = await health_pb2_grpc.HealthStub(client.channel).Check(ASKED)
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def test_the_call_read_for_longest_gives_way(play: Play) -> None:
    """Each may hold as many bytes as a message may have."""

    async def scenario(client: Client) -> list[tuple[str, str]]:
        silent = [client.channel.stream_unary(f"{HEALTH}Check")() for _ in range(100)]
        await come(lambda: sum(call.done() for call in silent) == 100 - READ_AT_A_TIME)
        assert await is_serving(client)  # another call replaces it
        await come(lambda: sum(call.done() for call in silent) == 101 - READ_AT_A_TIME)
        return await asyncio.gather(*(ended(call) for call in silent if call.done()))

    found = play(scenario, client_timeout_seconds=300)
    assert set(found) == {("DEADLINE_EXCEEDED", "the message came too slowly")}


def test_a_message_has_to_come_in_time(play: Play) -> None:
    async def scenario(client: Client) -> Any:
        calls = [client.channel.stream_unary(f"{HEALTH}{name}")() for name in ("Check", "Watch")]
        calls.append(client.channel.stream_unary(REFLECTION)())
        return await asyncio.gather(*map(ended, calls))

    found = play(scenario, client_timeout_seconds=0.05)
    assert found == [("DEADLINE_EXCEEDED", "the message came too slowly")] * 3


def test_long_calls_take_no_place_from_others(play: Play) -> None:
    async def scenario(client: Client) -> Any:
        stub = health_pb2_grpc.HealthStub(client.channel)
        reflection = reflection_pb2_grpc.ServerReflectionStub(client.channel)
        watching = [stub.Watch(ASKED) for _ in range(LASTING)]
        for one in watching:
            assert (await one.read()).status == 1
        refused = [await ended(stub.Watch(ASKED).read())]
        question = reflection_pb2.ServerReflectionRequest(list_services="")
        refused.append(await ended(reflection.ServerReflectionInfo(iter([question])).read()))
        assert await is_serving(client)
        assert (await client.ask("Embed", inputs="a")).embeddings
        watching[0].cancel()
        while True:
            one = reflection.ServerReflectionInfo(iter([question]))
            try:
                answer = await one.read()
            except grpc.aio.AioRpcError:
                continue
            return refused, [service.name for service in answer.list_services_response.service]

    refused, services = play(scenario, max_connections=2)
    assert set(refused) == {("RESOURCE_EXHAUSTED", "too many such calls are open")}
    assert "tei.v1.Embed" in services


def test_a_call_without_a_message_or_with_a_wrong_one_is_refused(play: Play) -> None:
    async def scenario(client: Client) -> Any:
        check = client.channel.stream_unary(f"{HEALTH}Check")
        reflect = client.channel.stream_unary(REFLECTION)
        calls = [check(iter(())), check(iter([b"\x0a\xff"])), reflect(iter([b"\xff"]))]
        return await asyncio.gather(*map(ended, calls))

    (none, wrong, other) = play(scenario)
    assert none == ("INTERNAL", "Missing request message.")
    for code, message in (wrong, other):
        assert code == "INTERNAL"
        assert message.startswith("failed to decode Protobuf message: ")
