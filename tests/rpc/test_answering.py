"""Answering: permits and bytes, refusals, cancellations and failures, and metrics."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import grpc.aio
import pytest
from starlette.types import ASGIApp

from app.api.http.service import Service
from app.rpc.answering import MESSAGES_IN_WORK
from app.rpc.messages import named
from tests.rpc.conftest import Play
from tests.support import distinct, rpc
from tests.support.held_runs import Held
from tests.support.rpc import Client, come, counts, fault

MakeService = Callable[..., tuple[Service, ASGIApp]]

OVERLOADED = ("RESOURCE_EXHAUSTED", "Model is overloaded")
EMBED = named("EmbedRequest")


@contextlib.contextmanager
def all_taken(service: Service) -> Iterator[None]:
    permits = service.model.engine.admission.permits
    with permits.taken(permits.total):
        yield


def holds_nothing(service: Service) -> bool:
    permits = service.model.engine.admission.permits
    bodies, lifecycle = service.bodies, service.lifecycle
    return (permits.held, bodies.free, lifecycle.in_flight) == (0, bodies.total, 0)


def test_a_call_without_a_permit_is_refused_and_a_stream_waits(make_service: MakeService) -> None:
    service, _ = make_service(max_concurrent_requests=2)

    async def scenario(client: Client) -> Any:
        with all_taken(service):
            refused = await client.refused("Embed", inputs="a")
            messages = [{"inputs": text} for text in ("a", "b", "c", "d", "e")]
            stream = asyncio.create_task(client.stream("EmbedStream", messages))
            tokens = asyncio.create_task(client.stream("TokenizeStream", messages))
            await come(lambda: service.lifecycle.in_flight == 10)
        return refused, await stream, await tokens

    refused, vectors, tokens = rpc.run(scenario, service)
    assert refused == OVERLOADED
    assert len(vectors) == len(tokens) == 5
    assert 'te_request_failure{err="overloaded"} 1' in service.metrics.render()
    assert holds_nothing(service)


def test_answers_come_in_the_order_of_messages(play: Play) -> None:
    async def scenario(client: Client) -> Any:
        texts = [text for i in range(300) for text in (f"{i % 7}", "the cat " * (i % 5))]
        texts = [text for text in texts if text]
        streamed = await client.stream("EmbedStream", [{"inputs": text} for text in texts])
        return texts, [one.metadata.compute_chars for one in streamed]

    texts, lengths = play(scenario)
    assert lengths == [len(text) for text in texts]


def test_a_message_that_fails_ends_the_stream_in_its_place(play: Play) -> None:
    async def scenario(client: Client) -> Any:
        call = client.call("EmbedStream")(EMBED(inputs=text) for text in ("a", "b", "", "c"))
        answers = aiter(call)
        for _ in range(2):
            assert (await anext(answers)).embeddings
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await anext(answers)
        return fault(caught.value)

    expected = ("INVALID_ARGUMENT", "Input validation error: `inputs` cannot be empty")
    assert play(scenario) == expected


def test_a_cancelled_call_holds_nothing_and_what_waits_is_dropped(
    make_service: MakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    service, _ = make_service(max_concurrent_requests=4)
    held = Held(monkeypatch)

    async def scenario(client: Client) -> None:
        calls = [client.call("Embed")(EMBED(inputs="a"))]
        await held.begun()
        calls.append(client.call("EmbedStream")(EMBED(inputs=f"s {i}") for i in range(9)))
        await come(lambda: service.lifecycle.in_flight >= 10)
        for call in calls:
            call.cancel()
        await come(lambda: holds_nothing(service))
        held.go_on(100)
        # Waiting messages are never computed: the next run has nothing else in it.
        await client.ask("Embed", inputs="the last")

    rpc.run(scenario, service)
    assert held.sizes[-1] == 1
    assert sum(held.sizes) < 10
    assert 'te_grpc_response_count{path="/tei.v1.Embed/EmbedStream",status="CANCELLED"} 1' in (
        counts(service)
    )


def test_a_deadline_of_the_client_drops_its_work(
    make_service: MakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    service, _ = make_service()
    held = Held(monkeypatch)

    async def scenario(client: Client) -> str:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await client.call("Embed")(EMBED(inputs="a"), timeout=0.3)
        await come(lambda: holds_nothing(service))
        held.go_on(100)
        return fault(caught.value)[0]

    assert rpc.run(scenario, service) == "DEADLINE_EXCEEDED"
    assert counts(service) == {
        'te_grpc_response_count{path="/tei.v1.Embed/Embed",status="CANCELLED"} 1'
    }


def test_the_messages_in_work_of_a_stream_are_bounded(
    make_service: MakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    service, _ = make_service()
    held = Held(monkeypatch)

    async def scenario(client: Client) -> int:
        call = client.call("EmbedStream")(EMBED(inputs=f"{i}") for i in range(300))
        await come(lambda: service.lifecycle.in_flight >= MESSAGES_IN_WORK)
        for _ in range(2_000):
            await asyncio.sleep(0)
        most = service.lifecycle.in_flight
        held.go_on(1_000)
        assert len([one async for one in call]) == 300
        return most

    assert rpc.run(scenario, service) == MESSAGES_IN_WORK


def test_streams_leave_a_quarter_of_the_permits(
    make_service: MakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    service, _ = make_service(max_concurrent_requests=8)
    held = Held(monkeypatch)
    permits = service.model.engine.admission.permits

    async def scenario(client: Client) -> None:
        *texts, one, two = distinct.texts(52)
        call = client.call("EmbedStream")(EMBED(inputs=text) for text in texts)
        await come(lambda: permits.held == 6)
        others = [asyncio.create_task(client.ask("Embed", inputs=text)) for text in (one, two)]
        await come(lambda: permits.held == 8)
        held.go_on(1_000)
        await asyncio.gather(*others)
        assert len([one async for one in call]) == 50

    rpc.run(scenario, service)
    assert holds_nothing(service)


@pytest.mark.parametrize("size", [1_000_000, 5_000])
def test_a_message_that_is_too_large_is_refused(make_service: MakeService, size: int) -> None:
    """gRPC refuses it over the payload limit, otherwise the budget of bytes does."""
    service, _ = make_service(payload_limit=10_000, max_concurrent_bytes=10_000)

    async def scenario(client: Client) -> Any:
        share = service.bodies.holding()
        share.take(6_000)
        return await client.refused("Embed", inputs="a" * size)

    code, message = rpc.run(scenario, service)
    assert code == "RESOURCE_EXHAUSTED"
    if size > 10_000:
        assert "larger than max (1000004 vs. 10000)" in message
    else:
        assert message == "Model is overloaded"


@pytest.mark.parametrize("name", ["Embed", "EmbedStream", "Decode", "RerankStream", "Info"])
def test_bytes_that_are_no_message_end_their_call_alone(play: Play, name: str) -> None:
    async def scenario(client: Client) -> Any:
        call = client.call(name, as_bytes=bytes)
        sent = call(iter([b"\x0a\xff"])) if "Stream" in name else call(b"\x0a\xff")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await (anext(aiter(sent)) if name == "EmbedStream" else sent)
        await client.ask("Info")
        return fault(caught.value)

    code, message = play(scenario, "reranker")
    assert code == "INTERNAL"
    assert message.startswith("failed to decode Protobuf message: ")


def test_an_internal_error_is_logged_and_not_shown(
    make_service: MakeService, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise KeyError("a secret")

    monkeypatch.setattr("app.rpc.calls.call.memory_of", broken)
    service, _ = make_service()
    found = rpc.run(lambda client: client.refused("Embed", inputs="a"), service)
    assert found == ("INTERNAL", "internal error")
    assert "a secret" in caplog.text
    assert holds_nothing(service)


def test_a_call_without_a_message_ends_in_time(make_service: MakeService) -> None:
    service, _ = make_service(client_timeout_seconds=0.05)

    async def scenario(client: Client) -> Any:
        open_call = client.channel.stream_unary("/tei.v1.Embed/Embed")()
        with pytest.raises(grpc.aio.AioRpcError) as slow:
            await open_call
        empty = client.channel.stream_unary("/tei.v1.Embed/Embed")(iter(()))
        with pytest.raises(grpc.aio.AioRpcError) as none:
            await empty
        return fault(slow.value), fault(none.value)

    assert rpc.run(scenario, service) == (
        ("DEADLINE_EXCEEDED", "the message came too slowly"),
        ("INTERNAL", "Missing request message."),
    )


def test_a_client_that_stops_reading_holds_nothing(make_service: MakeService) -> None:
    service, _ = make_service(client_timeout_seconds=0.3)
    message = named("EncodeRequest")(inputs="the cat " * 360)

    async def scenario(client: Client) -> Any:
        call = client.call("TokenizeStream")(message for _ in range(3_000))
        await come(lambda: service.lifecycle.in_flight > 0)
        await come(lambda: holds_nothing(service))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            assert len([one async for one in call]) > 3_000
        return fault(caught.value)

    little = [("grpc.http2.lookahead_bytes", 65_536), ("grpc.http2.bdp_probe", 0)]
    found = rpc.run(scenario, service, options=little)
    assert found == ("DEADLINE_EXCEEDED", "the answer was read too slowly")


def test_calls_are_counted_by_how_they_end(make_service: MakeService) -> None:
    service, _ = make_service(api_key="secret")

    async def scenario(client: Client) -> None:
        await client.refused("Embed", inputs="a")
        client.metadata = [("authorization", "Bearer secret")]
        await client.ask("Embed", inputs="a")
        await client.refused("Predict", inputs="a")

    rpc.run(scenario, service)
    assert counts(service) == {
        'te_grpc_response_count{path="/tei.v1.Embed/Embed",status="UNAUTHENTICATED"} 1',
        'te_grpc_response_count{path="/tei.v1.Embed/Embed",status="OK"} 1',
        'te_grpc_response_count{path="/tei.v1.Predict/Predict",status="FAILED_PRECONDITION"} 1',
    }
