"""Connections over real sockets: how many, and how long they may keep us waiting."""

import asyncio
import contextlib
import json
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import uvloop
from starlette.types import Receive, Scope, Send

from app.server.serving import serve
from app.wire.connections import Connections, ServerConfig, has_unread
from tools.process import Server, free_port

HEAD = b"POST /embed HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
GET = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
START = Callable[..., Server]


@pytest.fixture
def start(tiny_model: Path) -> START:
    """Starts servers."""

    def one(*arguments: str) -> Server:
        server = Server("--model-id", str(tiny_model), *arguments)
        server.wait_ready()
        return server

    return one


def read_all(connection: socket.socket) -> bytes:
    """Everything until the server closes or cuts the connection."""
    parts = []
    with contextlib.suppress(ConnectionResetError):
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)


def send_and_read(connection: socket.socket, content: bytes) -> bytes:
    """What comes back to a client that looks for it only when it has sent everything."""
    connection.settimeout(20)
    connection.sendall(content)
    return read_all(connection)


def send_for_ever(connection: socket.socket) -> None:
    while True:
        connection.sendall(b"x" * 65536)


def status_of(connection: socket.socket) -> bytes:
    connection.sendall(GET)
    return connection.recv(65536)[9:12]


@pytest.mark.parametrize("sent", [b"", b'{"inp'])
def test_a_body_that_does_not_come_is_408_and_the_end(start: START, sent: bytes) -> None:
    server = start("--client-timeout-seconds", "0.3")
    with server.connect() as connection:
        connection.sendall(HEAD + b"Content-Length: 16\r\n\r\n" + sent)
        answer = read_all(connection)
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"connection: close" in answer
    assert answer.endswith(b"it came too slowly")


LARGE = b"x" * 20_000_000  # more than the kernel takes from a client that nobody reads


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (HEAD + b"Content-Length: 20000000\r\n\r\n", b"413"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n1312d00\r\n", b"413"),
        (HEAD.replace(b"/json", b"/xml") + b"Content-Length: 20000000\r\n\r\n", b"415"),
        (HEAD.replace(b"embed", b"none") + b"Content-Length: 20000000\r\n\r\n", b"404"),
        (b"this is no HTTP\r\n\r\n", b"400"),
    ],
    ids=["declared", "chunked", "no JSON", "no path", "no HTTP"],
)
def test_an_answer_reaches_a_client_that_still_sends(
    start: START, head: bytes, status: bytes
) -> None:
    server = start()
    with server.connect() as connection:
        answer = send_and_read(connection, head + LARGE)
    assert answer[9:12] == status
    assert b"connection: close" in answer.lower()


FITS = b'{"inputs":"cat"}'.ljust(30)
CLOSE = HEAD + b"Connection: close\r\n"


def in_chunks(size: int, body: bytes) -> bytes:
    """A body in chunks of so many bytes."""
    parts = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


def test_slashes_too_many_of_a_base_url_come_through(start: START) -> None:
    server = start()
    for target in (b"//v1/embeddings", b"/v1//embeddings/", b"http://a//v1/embeddings/"):
        head = CLOSE.replace(b"/embed", target) + b"Content-Length: 13\r\n\r\n"
        with server.connect() as connection:
            connection.sendall(head + b'{"input":"a"}')
            assert read_all(connection).startswith(b"HTTP/1.1 200"), target


@pytest.mark.parametrize(("body", "status"), [(FITS, b"200"), (FITS + b" ", b"413")])
def test_one_byte_over_the_limit_is_413_however_it_comes(
    start: START, body: bytes, status: bytes
) -> None:
    server = start("--payload-limit", str(len(FITS)))
    length = b"Content-Length: %d\r\n" % len(body)
    coming = b"Expect: 100-continue\r\n"
    for head, content in (
        (CLOSE + length, body),
        (CLOSE + b"Transfer-Encoding: chunked\r\n", in_chunks(100, body)),
        (CLOSE + b"Transfer-Encoding: chunked\r\n", in_chunks(1, body)),
        (CLOSE + coming + length, body),
        (CLOSE + coming + b"Transfer-Encoding: chunked\r\n", in_chunks(7, body)),
    ):
        with server.connect() as connection:
            connection.sendall(head + b"\r\n")
            first = b""  # the answer may come with it
            if coming in head and (status == b"200" or length not in head):
                first = connection.recv(65536)
                assert first.startswith(b"HTTP/1.1 100")
            answer = first + send_and_read(connection, content)
        assert answer.rpartition(b"HTTP/1.1 ")[2][:3] == status


def test_without_the_key_the_body_is_not_waited_for(start: START) -> None:
    server = start("--api-key", "secret")
    with server.connect() as connection:
        connection.sendall(HEAD + b"Content-Length: 1000000000\r\n\r\n")
        answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 401")
    assert b"connection: close" in answer


def test_a_thousand_idle_connections_keep_nobody_waiting(start: START) -> None:
    server = start()
    with contextlib.ExitStack() as stack:
        idle = [stack.enter_context(server.connect()) for _ in range(1_000)]
        assert [status_of(connection) for connection in idle] == [b"200"] * 1_000
        with server.connect() as other:
            body = b'{"inputs":"cat"}'
            other.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)
            assert other.recv(65536).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("path", [b"/health", b"/info", b"/nowhere"])
def test_a_client_that_left_before_its_answer_is_left(start: START, path: bytes) -> None:
    server = start()
    for _ in range(20):
        with server.connect() as connection:
            connection.sendall(GET.replace(b"/livez", path))
            connection.shutdown(socket.SHUT_WR)
            read_all(connection)  # which ends, and not with the time of keep-alive


def test_a_client_that_sends_on_for_ever_is_cut_off(start: START) -> None:
    server = start("--client-timeout-seconds", "0.3")
    with server.connect() as connection:
        connection.sendall(HEAD + b"Content-Length: 100000000000000\r\n\r\n")
        assert read_all(connection).startswith(b"HTTP/1.1 413")
        with pytest.raises(ConnectionError):
            send_for_ever(connection)


def test_a_client_that_stays_after_its_last_answer_is_left(start: START) -> None:
    server = start()
    files = Path(f"/proc/{server.process.pid}/fd")
    with server.connect() as other:
        assert status_of(other) == b"200"
        before = len(list(files.iterdir()))
        with server.connect() as connection:
            connection.sendall(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
            assert read_all(connection).startswith(b"HTTP/1.1 200")
            while len(list(files.iterdir())) > before:
                assert status_of(other) == b"200"


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
        assert read_all(idle) == b""  # closed after the time that the other rests at least
        assert status_of(resting) == b"200"


def test_an_answer_that_is_not_taken_is_cut_off(start: START) -> None:
    server = start(
        "--client-timeout-seconds", "1", "--max-client-batch-size", "10000",
        "--max-concurrent-requests", "10000",
    )  # fmt: skip
    body = json.dumps({"inputs": ["the cat sat on the mat a b c d"] * 10_000}).encode()
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", server.port))
        head = HEAD.replace(b"/embed", b"/embed_all") + b"Content-Length: %d\r\n\r\n"
        connection.sendall(head % len(body) + body)  # 20 MB come back: more than the kernel takes
        files = Path(f"/proc/{server.process.pid}/fd")
        with server.connect() as other:
            assert status_of(other) == b"200"
            before = len(list(files.iterdir()))
            while len(list(files.iterdir())) >= before:
                assert status_of(other) == b"200"
        answer = read_all(connection)
    assert answer.startswith(b"HTTP/1.1 200")
    assert not answer.endswith(b"]]")


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
        for _ in range(100):  # as many as come
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
    """How many TCP segments with data have come in."""
    place = 152  # of tcpi_data_segs_in in Linux's struct tcp_info
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
        assert connection.recv(65536).startswith(b"HTTP/1.1 100")  # that one waits for nothing
        connection.sendall(body)
        while b"]]" not in connection.recv(65536):
            pass
        assert data_segments(connection) == 3


async def ask(port: int, path: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A fresh connection with a request on it."""
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
