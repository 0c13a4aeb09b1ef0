"""Serving: the parts of a server put together, from the lifespan's start to its end.

Hypercorn provides the configuration, the sockets, TLS, the lifespan, and HTTP/2; HTTP/1.x is ours.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from hypercorn.asyncio.lifespan import Lifespan
from hypercorn.asyncio.worker_context import WorkerContext
from hypercorn.utils import wrap_app
from starlette.types import ASGIApp

from app.wire.connections import Connections, ServerConfig, Shared
from app.wire.http1.connection import Http1
from app.wire.http2.connection import Http2Connection
from app.wire.http2.unread import DrainUnread

ACCEPTED_AT_ONCE = 8  # connections at each turn of the loop


async def serve(
    app: ASGIApp,
    config: ServerConfig,
    connections: Connections,
    trigger: Callable[[], Awaitable[None]],
) -> None:
    """Serve until `trigger` returns; then close the port, and finish the requests in progress.

    Connections still open after `config.graceful_timeout` seconds are cut off. The application's
    lifespan ends after the last connection.
    """
    state: dict[str, Any] = {}
    wrapped = wrap_app(DrainUnread(app), config.wsgi_max_body_size, "asgi")  # type: ignore[arg-type]  # one protocol, typed apart by Hypercorn and Starlette
    async with _lifespan(Lifespan(wrapped, config, asyncio.get_running_loop(), state)):
        shared = Shared(app, config, connections, state)
        context = WorkerContext(None)

        def http2(transport: asyncio.Transport, begun: bytes) -> None:
            Http2Connection(shared, wrapped, context, transport, begun)

        servers = await _listen(config, lambda: Http1(shared, http2))
        try:
            await trigger()
        finally:
            connections.ending = True
            await context.terminated.set()
            for server in servers:
                server.close()
            await connections.end(config.graceful_timeout)


@contextlib.asynccontextmanager
async def _lifespan(lifespan: Lifespan) -> AsyncIterator[None]:
    """Run the application's startup before the block, and its shutdown after it."""
    task = asyncio.create_task(lifespan.handle_lifespan())
    await lifespan.wait_for_startup()
    if task.done():
        await task  # raises what kept it from starting
    try:
        yield
    finally:
        await lifespan.wait_for_shutdown()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def _listen(config: ServerConfig, protocol: Callable[[], Http1]) -> list[asyncio.Server]:
    """Accept connections on each of the sockets that Hypercorn finds in its configuration.

    libuv accepts one connection of a socket at each turn of the loop (since 1.47, uv__server_io),
    so a client behind a dozen others waited for a dozen turns. Each copy of the socket accepts one
    more.
    """
    loop = asyncio.get_running_loop()
    sockets = config.create_sockets()
    tls: dict[str, Any] = {}
    if config.ssl_enabled:
        tls["ssl"] = config.create_ssl_context()
        tls["ssl_handshake_timeout"] = config.ssl_handshake_timeout
    listening = [(one, tls) for one in sockets.secure_sockets]
    listening += [(one, {}) for one in sockets.insecure_sockets]
    return [
        await loop.create_server(protocol, sock=socket, backlog=config.backlog, **options)
        for one, options in listening
        for socket in (one, *(one.dup() for _ in range(ACCEPTED_AT_ONCE - 1)))
    ]
