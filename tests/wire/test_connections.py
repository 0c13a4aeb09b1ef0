"""Connections over real sockets: their number, and their timeouts."""

import asyncio
import contextlib
import socket
import sys
from pathlib import Path

import pytest
import uvloop
from starlette.types import Receive, Scope, Send

from app.server.serving import serve
from app.wire.connections import Connections, ServerConfig, has_unread
from tests.support.connections import GET, HEAD, LARGE, START, read_all, send_and_read, status_of
from tools.process import Server, free_port


def test_a_thousand_idle_connections_delay_no_request(start: START) -> None:
    server = start()
    with contextlib.ExitStack() as stack:
        idle = [stack.enter_context(server.connect()) for _ in range(1_000)]
        assert [status_of(connection) for connection in idle] == [b"200"] * 1_000
        with server.connect() as other:
            body = b'{"inputs":"cat"}'
            other.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)
            assert other.recv(65536).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("sent", [b"", b"POST /embed HT", HEAD])
def test_a_connection_without_a_request_is_closed(start: START, sent: bytes) -> None:
    server = start("--client-timeout-seconds", "0.3")
    with server.connect() as connection:
        connection.sendall(sent)
        assert read_all(connection) == b""


def test_a_connection_that_had_a_request_may_rest(start: START) -> None:
    server = start("--client-timeout-seconds", "1")
    with server.connect() as resting, server.connect() as idle:
        assert status_of(resting) == b"200"
        assert read_all(idle) == b""  # so the other one rested at least as long
        assert status_of(resting) == b"200"


def test_an_idle_connection_makes_room_for_a_new_one(start: START) -> None:
    server = start("--max-connections", "2")
    with server.connect() as oldest, server.connect() as other:
        assert status_of(oldest) == b"200"
        assert status_of(other) == b"200"
        with server.connect() as newest:
            assert status_of(newest) == b"200"
            assert read_all(oldest) == b""
        assert status_of(other) == b"200"


def test_where_all_connections_are_busy_one_more_is_refused(start: START) -> None:
    server = start("--max-connections", "2")
    with server.connect() as one, server.connect() as other:
        for connection in (one, other):
            connection.sendall(HEAD + b"Content-Length: 16\r\nExpect: 100-continue\r\n\r\n")
            assert connection.recv(100).startswith(b"HTTP/1.1 100")
        for _ in range(100):  # however many come
            with server.connect() as refused:
                answer = read_all(refused)
            assert answer.startswith(b"HTTP/1.1 429 Too Many Requests\r\nretry-after: 1\r\n")
        with server.connect() as refused:
            answer = send_and_read(refused, HEAD + b"Content-Length: 20000000\r\n\r\n" + LARGE)
        assert answer.startswith(b"HTTP/1.1 429")
        one.sendall(b'{"inputs":"cat"}')
        assert one.recv(65536).startswith(b"HTTP/1.1 200")


def test_more_connections_than_files_are_cut_to_the_files(tiny_model: Path) -> None:
    server = Server("--model-id", str(tiny_model), "--max-connections", "100000000")
    server.wait_ready()
    server.signal()
    assert "the limit of open files allows " in server.output()
    assert server.process.returncode == 0


def test_a_connection_that_its_client_cut_holds_nothing_unread() -> None:
    # At shutdown an idle connection is asked, and an error would end the process with 3.
    async def scenario() -> bool:
        near, far = socket.socketpair()
        with far:
            _, writer = await asyncio.open_connection(sock=near)
            writer.transport.abort()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()
            return has_unread(writer.transport)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert not runner.run(scenario())


def data_segments(connection: socket.socket) -> int:
    """Return the number of received TCP segments with data."""
    place = 152  # offset of tcpi_data_segs_in in Linux's struct tcp_info
    found = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, place + 4)
    return int.from_bytes(found[place:], sys.byteorder)


def test_the_head_and_the_body_of_an_answer_come_together(start: START) -> None:
    body = b'{"inputs":"cat"}'
    head = HEAD + b"Content-Length: %d\r\n" % len(body)
    with start().connect() as connection:
        connection.sendall(head + b"\r\n" + body)
        while b"]]" not in connection.recv(65536):
            pass
        assert data_segments(connection) == 1
        connection.sendall(head + b"Expect: 100-continue\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 100")  # the 100 is sent without delay
        connection.sendall(body)
        while b"]]" not in connection.recv(65536):
            pass
        assert data_segments(connection) == 3


async def ask(port: int, path: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Return a fresh connection with a request on it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(GET.replace(b"/livez", path))
    return reader, writer


def test_only_idle_connections_end_after_the_keep_alive_time() -> None:
    config = ServerConfig()
    config.client_timeout_seconds = config.keep_alive_timeout = 1.0
    port = free_port()
    config.bind = [f"127.0.0.1:{port}"]

    async def scenario() -> None:
        ready, ending, released = asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "lifespan":
                for stage in ("startup", "shutdown"):
                    await receive()
                    await send({"type": f"lifespan.{stage}.complete"})
                return
            if scope["path"] == "/slow":
                await released.wait()
            headers = [(b"content-length", b"2")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": b"ok"})

        async def trigger() -> None:
            ready.set()
            await ending.wait()

        serving = asyncio.create_task(serve(app, config, Connections(9), trigger))
        await ready.wait()
        slow, slow_asking = await ask(port, b"/slow")
        busy, busy_asking = await ask(port, b"/")
        idle, idle_asking = await ask(port, b"/")
        reading = asyncio.create_task(idle.read())
        while not reading.done():
            assert (await busy.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
            busy_asking.write(GET)
        assert (await reading).endswith(b"ok")
        assert (await busy.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
        ending.set()
        assert await busy.read() == b""
        released.set()
        assert (await slow.read()).endswith(b"ok")  # asked before the end, answered after it
        await serving
        for writer in (slow_asking, busy_asking, idle_asking):
            writer.close()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(scenario())
