"""Callers: keys, ids and traces, in the metadata of a call."""

import logging
from collections.abc import Callable
from typing import Any

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from starlette.types import ASGIApp

from app.access.api_keys import from_flags
from app.api.http.service import Service
from tests.support import rpc
from tests.support.rpc import Client, Metadata

MakeService = Callable[..., tuple[Service, ASGIApp]]

REFUSED = ("UNAUTHENTICATED", "No valid auth token")


@pytest.mark.parametrize(
    ("metadata", "is_let_in"),
    [
        ((), False),
        ((("authorization", "Bearer other"),), False),
        ((("authorization", "secret"),), False),
        ((("authorization", "Bearer secret"),), True),
        ((("authorization", "bearer secret"),), False),
        ((("authorization", "Bearer secret "),), False),
        ((("authorization-bin", b"Bearer secret"),), False),
        ((("authorization", "Bearer x"), ("authorization", "Bearer secret")), False),
    ],
)
def test_a_call_needs_the_key(
    make_service: MakeService, metadata: Metadata, is_let_in: bool
) -> None:
    service, _ = make_service(api_key="secret")

    async def scenario(client: Client) -> Any:
        if is_let_in:
            return await client.ask("Embed", inputs="a")
        return await client.refused("Embed", inputs="a"), await client.refused("Info")

    found = rpc.run(scenario, service, metadata)
    assert is_let_in or found == (REFUSED, REFUSED)


def test_health_needs_no_key(make_service: MakeService) -> None:
    service, _ = make_service(api_key="secret")

    async def scenario(client: Client) -> Any:
        stub = health_pb2_grpc.HealthStub(client.channel)
        return await stub.Check(health_pb2.HealthCheckRequest())

    assert rpc.run(scenario, service).status == health_pb2.HealthCheckResponse.SERVING


def test_a_key_counts_under_its_name(
    make_service: MakeService, caplog: pytest.LogCaptureFixture
) -> None:
    service, _ = make_service(api_key=from_flags(["search=one", "batch=two"]))
    metadata = [("authorization", "Bearer two"), ("x-request-id", "mine")]
    with caplog.at_level(logging.INFO, "app.api.spans"):
        rpc.run(lambda client: client.ask("Embed", inputs="a"), service, metadata)
    assert 'te_api_key_request_count{api_key="batch"} 1' in service.metrics.render()
    [record] = [one for one in caplog.records if one.name == "app.api.spans"]
    span = vars(record)["span"]
    assert (span["name"], span["request_id"], span["api_key"]) == ("embed", "mine", "batch")


@pytest.mark.parametrize("given", ["mine", "a" * 200, "not plain"])
def test_an_answer_has_the_id_of_its_request(make_service: MakeService, given: str) -> None:
    service, _ = make_service()
    metadata = [("x-request-id", given)]
    told = rpc.run(lambda client: client.told("Embed", inputs="a"), service, metadata)
    assert (told["x-request-id"] == given) is (given == "mine")
    assert len(told["x-request-id"]) <= 32


def test_the_trace_of_the_caller_is_logged(
    make_service: MakeService, caplog: pytest.LogCaptureFixture
) -> None:
    service, _ = make_service()
    trace = "0af7651916cd43dd8448eb211c80319c"
    metadata = [("traceparent", f"00-{trace}-b7ad6b7169203331-01")]
    with caplog.at_level(logging.ERROR, "app.api.spans"):
        rpc.run(lambda client: client.refused("Embed"), service, metadata)
    [record] = [one for one in caplog.records if one.name == "app.api.spans"]
    assert vars(record)["span"]["trace_id"] == trace
