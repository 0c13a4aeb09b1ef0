"""Server: the port of the gRPC API, from its opening to the last answer.

It shares the event loop with HTTP, and ends with it: on a signal health says NOT_SERVING, the port
stays open for `--drain-seconds`, and what is in flight may take `--shutdown-seconds`.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Sequence

import grpc.aio

from app.api.http.service import Service
from app.options.settings import Settings
from app.rpc.answering import Answering
from app.rpc.bounds import CallLimits
from app.rpc.health import Reports
from app.rpc.public import LASTING, READ_AT_A_TIME, PublicCalls
from app.wire.connections import quiet

logger = logging.getLogger("app.server")  # operators filter by this name

IDLE_SECONDS = 310  # seconds until a connection without a call is closed, as with HTTP
PING_SECONDS = 60  # seconds until a silent client is asked whether it is there
PING_WAIT_SECONDS = 20
LAST_SECONDS = 5.0  # seconds for last bytes, and for calls that are not ours, such as reflection
REFUSING_SECONDS = 0.5  # seconds in which new calls are sent elsewhere, before connections end
# Calls beside those that `Bounds` counts: those without a key, and as many that are refused.
CALLS_BESIDE = 2 * (LASTING + READ_AT_A_TIME)
ONLY_IDENTITY = 1  # a set of compressions: a small message must not become a large one

Addresses = Callable[[], Sequence[str]]  # frees the port, and returns its addresses


@contextlib.asynccontextmanager
async def opened(service: Service, settings: Settings, addresses: Addresses) -> AsyncIterator[None]:
    """Serve in the block. Leaving it returns when the last call has ended.

    Raises: RuntimeError if another process has taken the port.
    """
    server = grpc.aio.server(
        options=_options(settings),
        maximum_concurrent_rpcs=settings.max_connections + CALLS_BESIDE,
    )
    answering = Answering(service, CallLimits.of(settings))
    reports = Reports(service.of_first)
    public = PublicCalls(reports, settings.client_timeout_seconds)
    server.add_generic_rpc_handlers((*answering.handlers(), *public.handlers()))
    for address in addresses():
        server.add_insecure_port(address)
        logger.info("Starting gRPC server: %s", address)
    await reports.refresh()
    await server.start()
    following = asyncio.create_task(reports.keep())
    ending = asyncio.create_task(_end(server, answering, reports, service, settings))
    try:
        yield
    finally:
        following.cancel()
        if not service.lifecycle.draining:
            ending.cancel()
            await server.stop(None)
        else:
            await ending


async def _end(
    server: grpc.aio.Server,
    answering: Answering,
    reports: Reports,
    service: Service,
    settings: Settings,
) -> None:
    """Wait for the end of the service, and end as it does."""
    lifecycle = service.lifecycle
    await lifecycle.ending.wait()
    reports.end()
    patience = 0.0
    if lifecycle.failure is None:
        await asyncio.sleep(settings.drain_seconds)
        await quiet(lambda: lifecycle.accepted)
        patience = settings.shutdown_seconds
    answering.stop_reading()
    reports.close()
    if patience:
        # What arrives while a server of grpcio stops may be cancelled instead of refused.
        await asyncio.sleep(REFUSING_SECONDS)
    answering.cut_at = asyncio.get_running_loop().time() + patience
    stopping = asyncio.create_task(server.stop(patience))
    answered = asyncio.create_task(answering.ended())
    await asyncio.wait({stopping, answered}, return_when=asyncio.FIRST_COMPLETED)
    answered.cancel()
    await server.stop(min(patience, LAST_SECONDS))
    await stopping


def _options(settings: Settings) -> list[tuple[str, int]]:
    return [
        ("grpc.max_receive_message_length", settings.payload_limit),
        ("grpc.http2.bdp_probe", 0),  # else a fast client may send megabytes that no call reads
        ("grpc.max_allowed_incoming_connections", settings.max_connections),
        ("grpc.so_reuseport", 0),  # two services must not share a port by accident
        ("grpc.compression_enabled_algorithms_bitset", ONLY_IDENTITY),
        ("grpc.max_connection_idle_ms", IDLE_SECONDS * 1000),
        ("grpc.keepalive_time_ms", PING_SECONDS * 1000),
        ("grpc.keepalive_timeout_ms", PING_WAIT_SECONDS * 1000),
    ]
