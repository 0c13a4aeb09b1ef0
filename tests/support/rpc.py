"""A client of the gRPC API, and the API over a service, on one event loop."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Any

import grpc
import grpc.aio

from app.api.http.service import Service
from app.options.settings import Settings
from app.rpc.messages import SERVICES, named
from app.rpc.server import opened
from tools.process import free_port

Metadata = Sequence[tuple[str, str | bytes]]

METHODS = {method.name: method for service in SERVICES.values() for method in service.methods}


class Client:
    """Calls by name; the names of TEI's services are all different."""

    def __init__(self, channel: Any, metadata: Metadata = (), port: int = 0) -> None:
        self.channel = channel
        self.metadata = metadata
        self.port = port

    def call(self, name: str, **options: Any) -> Any:
        """Return a callable for a method, which takes a message, or an iterator of messages."""
        method = METHODS[name]
        kinds = ("unary", "stream")
        kind = f"{kinds[method.client_streaming]}_{kinds[method.server_streaming]}"
        make = getattr(self.channel, kind)
        return make(
            f"/{method.containing_service.full_name}/{name}",
            request_serializer=options.get("as_bytes", lambda message: message.SerializeToString()),
            response_deserializer=named(method.output_type.name).FromString,
        )

    async def ask(self, name: str, **fields: Any) -> Any:
        """Return the answer to a call with one message."""
        message = named(METHODS[name].input_type.name)(**fields)
        return await self.call(name)(message, metadata=self.metadata)

    async def told(self, name: str, **fields: Any) -> dict[str, str]:
        """Return the initial metadata of the answer to a call with one message."""
        message = named(METHODS[name].input_type.name)(**fields)
        call = self.call(name)(message, metadata=self.metadata)
        await call
        return dict(await call.initial_metadata())

    async def stream(self, name: str, messages: Iterable[dict[str, Any]]) -> list[Any]:
        """Return the answers to a stream of messages."""
        kind = named(METHODS[name].input_type.name)
        call = self.call(name)((kind(**one) for one in messages), metadata=self.metadata)
        return [one async for one in call]

    async def collected(self, name: str, messages: Iterable[dict[str, Any]]) -> Any:
        """Return the one answer to a stream of messages."""
        kind = named(METHODS[name].input_type.name)
        return await self.call(name)((kind(**one) for one in messages), metadata=self.metadata)

    async def refused(self, name: str, **fields: Any) -> tuple[str, str]:
        """Return the status and the message of a call that fails."""
        try:
            answer = await self.ask(name, **fields)
        except grpc.aio.AioRpcError as error:
            return fault(error)
        raise AssertionError(answer)


def fault(error: grpc.aio.AioRpcError) -> tuple[str, str]:
    """Return the name of an error's status, and its message."""
    return error.code().name, error.details() or ""


def counts(service: Service) -> set[str]:
    """Return how calls ended, by the metrics."""
    lines = service.metrics.render().splitlines()
    return {line for line in lines if line.startswith("te_grpc_response_count")}


async def come(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds; `run` bounds the time."""
    while not condition():  # noqa: ASYNC110  # no event tells of it
        await asyncio.sleep(0)


@contextlib.asynccontextmanager
async def serving(
    service: Service,
    settings: Settings,
    metadata: Metadata = (),
    options: Sequence[tuple[str, int]] = (),
) -> AsyncIterator[Client]:
    """Serve the API over a service during the block; yield a client with these options."""
    port = free_port()
    address = f"127.0.0.1:{port}"
    async with (
        opened(service, settings, lambda: [address]),
        grpc.aio.insecure_channel(address, options) as channel,
    ):
        yield Client(channel, metadata, port)


def run(scenario: Any, service: Service, metadata: Metadata = (), **options: Any) -> Any:
    """Run a scenario with a client, and return its result."""

    async def whole() -> Any:
        async with serving(service, service.model.settings, metadata, **options) as client:
            return await asyncio.wait_for(scenario(client), 60)

    return asyncio.run(whole())
