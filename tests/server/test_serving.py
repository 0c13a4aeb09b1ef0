"""The server's socket: how connections are accepted."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvloop
from starlette.types import Receive, Scope, Send

from app.server.serving import ACCEPTED_AT_ONCE, serve
from app.wire.connections import Connections, ServerConfig
from app.wire.http1.connection import Http1

MOST_TURNS = 3


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    """Run nothing but the lifespan."""
    assert scope["type"] == "lifespan"
    for stage in ("startup", "shutdown"):
        await receive()
        await send({"type": f"lifespan.{stage}.complete"})


@contextlib.contextmanager
def connected(path: Path, count: int) -> Iterator[None]:
    """Open connections, which the server has not accepted yet."""
    with contextlib.ExitStack() as opened:
        for _ in range(count):
            one = opened.enter_context(socket.socket(socket.AF_UNIX))
            one.connect(str(path))
        yield


def test_a_turn_takes_several_connections(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection does not wait for a turn of the loop for each one before it."""
    made = 0
    connection_made = Http1.connection_made

    def count(self: Http1, transport: asyncio.BaseTransport) -> None:
        nonlocal made
        made += 1
        connection_made(self, transport)

    monkeypatch.setattr(Http1, "connection_made", count)

    async def turns() -> int:
        ready, ending = asyncio.Event(), asyncio.Event()

        async def trigger() -> None:
            ready.set()
            await ending.wait()

        config = ServerConfig()
        config.client_timeout_seconds = config.keep_alive_timeout = 60.0
        config.bind = [f"unix:{tmp_path}/socket"]
        serving = asyncio.create_task(serve(application, config, Connections(99), trigger))
        await ready.wait()
        taken = 0
        with connected(tmp_path / "socket", ACCEPTED_AT_ONCE):
            while made < ACCEPTED_AT_ONCE:
                await asyncio.sleep(0)
                taken += 1
        ending.set()
        await serving
        return taken

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(turns()) <= MOST_TURNS
