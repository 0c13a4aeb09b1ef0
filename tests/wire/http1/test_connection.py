"""HTTP/1.x as TEI's clients use it: reason phrases, kept connections, and refused heads."""

import asyncio
import re
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvloop
from h2.connection import H2Connection
from h2.events import DataReceived
from starlette.types import Receive, Scope, Send

from app.server.serving import serve
from app.wire.connections import Connections, ServerConfig
from tools import client
from tools.process import Server

JSON = b"Host: x\r\nContent-Type: application/json\r\n"
LAST = b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
BODY = b'{"inputs":"a"}'


@pytest.fixture(scope="module")
def server(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that must log no error, whatever it receives."""
    log = tmp_path_factory.mktemp("http1") / "log"
    flags = ("--provider", "cpu", "--dtype", "float32", "--log-level", "warn,app.api.spans=off")
    with Server("--model-id", str(tiny_model), *flags, log=log) as running:
        running.wait_ready()
        yield running
        running.signal()
        assert running.process.wait(30) == 0
    assert log.read_text() == ""


def answers(server: Server, *parts: bytes) -> bytes:
    """Send parts, each after the answer to the one before; return all that comes until the end."""
    found = b""
    with server.connect() as connection:
        for part in parts[:-1]:
            connection.sendall(part)
            found += connection.recv(65536)
        connection.sendall(parts[-1])
        while more := connection.recv(65536):
            found += more
    return found


def lines(content: bytes) -> list[bytes]:
    """Return the status lines of answers."""
    return re.findall(rb"HTTP/1\.[01] [^\r\n]*", content)


@pytest.mark.parametrize(
    ("request_", "line"),
    [
        (b"GET /livez HTTP/1.1\r\n" + JSON, b"HTTP/1.1 200 OK"),
        (b"GET /nope HTTP/1.1\r\n" + JSON, b"HTTP/1.1 404 Not Found"),
        (b"PUT /embed HTTP/1.1\r\n" + JSON, b"HTTP/1.1 405 Method Not Allowed"),
        (b"POST /embed HTTP/1.1\r\nHost: x\r\n", b"HTTP/1.1 415 Unsupported Media Type"),
        (b"POST /embed HTTP/1.1\r\n" + JSON, b"HTTP/1.1 400 Bad Request"),
        (b"POST /embed HTTP/1.1\r\n" + JSON + b"Content-Length: 9999999\r\n",
         b"HTTP/1.1 413 Payload Too Large"),
        (b"POST /predict HTTP/1.1\r\n" + JSON + b"Content-Length: 14\r\n",
         b"HTTP/1.1 424 Failed Dependency"),
        (b"POST /rerank HTTP/1.1\r\n" + JSON + b"Content-Length: 14\r\n",
         b"HTTP/1.1 422 Unprocessable Entity"),
        (b"GET /livez HTTP/1.1\r\n" + JSON + b"X: y\r\n" * 101,
         b"HTTP/1.1 431 Request Header Fields Too Large"),
        (b"GET /livez HTTP/1.1\r\n" + JSON + b"Transfer-Encoding: gzip\r\n",
         b"HTTP/1.1 501 Not Implemented"),
        (b"GET /livez HTTP/1.1\r\n", b"HTTP/1.1 400 Bad Request"),
    ],
)  # fmt: skip
def test_a_status_has_its_reason_phrase(server: Server, request_: bytes, line: bytes) -> None:
    content = request_ + b"Connection: close\r\n\r\n"
    if b"Content-Length: 14" in request_:
        content += BODY
    assert lines(answers(server, content)) == [line]


UNREAD = [
    (b"POST /embed HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\n", b"415"),
    (b"PUT /embed HTTP/1.1\r\n" + JSON, b"405"),
    (b"POST /nope HTTP/1.1\r\n" + JSON, b"404"),
    (b"GET /livez HTTP/1.1\r\n" + JSON, b"200"),
    (b"OPTIONS /embed HTTP/1.1\r\n" + JSON, b"200"),
]
FRAMED = [
    b"Content-Length: 14\r\n\r\n" + BODY,
    b"Transfer-Encoding: chunked\r\n\r\ne\r\n" + BODY + b"\r\n0\r\n\r\n",
    b"Content-Length: 60000\r\n\r\n" + b"x" * 60_000,
]


@pytest.mark.parametrize(("head", "status"), UNREAD)
@pytest.mark.parametrize("framed", FRAMED, ids=["length", "chunked", "60 kB"])
def test_a_small_unread_body_costs_no_connection(
    server: Server, head: bytes, status: bytes, framed: bytes
) -> None:
    for parts in (
        (head + framed + LAST,),  # in one piece
        (head + framed, LAST),
        (head + framed[: framed.index(b"\r\n\r\n") + 4], framed.partition(b"\r\n\r\n")[2] + LAST),
    ):
        first, last = lines(answers(server, *parts))
        assert (first[9:12], last) == (status, b"HTTP/1.1 200 OK")


@pytest.mark.parametrize(
    "framed", [b"Content-Length: 1000000\r\n\r\n", b"Transfer-Encoding: chunked\r\n\r\nf4240\r\n"]
)
def test_a_larger_unread_body_ends_the_connection(server: Server, framed: bytes) -> None:
    found = answers(server, UNREAD[0][0] + framed + b"x" * 1_000_000 + b"\r\n0\r\n\r\n" + LAST)
    assert [line[9:12] for line in lines(found)] == [b"415"]


def test_http_1_0_is_kept_where_its_client_asks_for_that(server: Server) -> None:
    kept = b"GET /livez HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n"
    found = answers(server, kept, kept, b"GET /livez HTTP/1.0\r\n\r\n")
    assert lines(found) == [b"HTTP/1.0 200 OK"] * 3
    assert found.count(b"connection: keep-alive") == 2
    assert found.count(b"connection: close") == 1


@pytest.mark.parametrize("stray", [b"\r\n", b"\n"])
def test_one_empty_line_before_a_request_is_skipped(server: Server, stray: bytes) -> None:
    one = b"POST /embed HTTP/1.1\r\n" + JSON + b"Content-Length: 14\r\n\r\n" + BODY
    assert [line[9:12] for line in lines(answers(server, stray + one + stray + LAST))] == [
        b"200",
        b"200",
    ]
    assert lines(answers(server, stray * 2 + LAST)) == [b"HTTP/1.1 400 Bad Request"]


@pytest.mark.parametrize("chunks", [b"zz\r\n", b"3\r\n{}\r\n\r\n", b"e\r\n" + BODY + b"\n"])
def test_a_broken_chunk_is_answered_in_words(server: Server, chunks: bytes) -> None:
    head = b"POST /embed HTTP/1.1\r\n" + JSON + b"Transfer-Encoding: chunked\r\n\r\n"
    found = answers(server, head + chunks + LAST)
    assert lines(found) == [b"HTTP/1.1 400 Bad Request"]
    assert b"access-control-allow-origin: *\r\n" in found
    assert b"connection: close\r\n" in found
    assert found.endswith(
        b"\r\n\r\nFailed to buffer the request body: error reading a body from connection"
    )


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"POST /embed HTTP/1.1\r\nHost: x\r\nContent-Length: 14\r\n", b"415"),
        (b"POST /embed HTTP/1.1\r\n" + JSON + b"Content-Length: 9999999\r\n", b"413"),
        (b"POST /nope HTTP/1.1\r\n" + JSON + b"Content-Length: 14\r\n", b"404"),
        (b"PUT /embed HTTP/1.1\r\n" + JSON + b"Transfer-Encoding: chunked\r\n", b"405"),
    ],
)
def test_a_refused_head_gets_no_100(server: Server, head: bytes, status: bytes) -> None:
    found = answers(server, head + b"Expect: 100-continue\r\n\r\n")
    assert [line[9:12] for line in lines(found)] == [status]
    assert b"connection: close\r\n" in found


def test_100_is_sent_once_and_not_to_a_client_that_already_sends(server: Server) -> None:
    head = b"POST /embed HTTP/1.1\r\n" + JSON + b"Content-Length: 14\r\nExpect: 100-continue\r\n"
    close = b"Connection: close\r\n\r\n"
    found = answers(server, head + close, BODY)
    assert lines(found) == [b"HTTP/1.1 100 Continue", b"HTTP/1.1 200 OK"]
    assert lines(answers(server, head + close + BODY)) == [b"HTTP/1.1 200 OK"]


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"post /embed", b"405"),
        (b"get /livez", b"405"),
        (b"BREW /embed", b"405"),
        (b"GET livez", b"404"),
        (b"POST *", b"404"),
        (b"CONNECT a:80", b"404"),
        (b"GET http://a/livez", b"200"),
        (b"HEAD /livez", b"200"),
        (b"GET /livez#part", b"200"),
        (b"HEAD /embed#part?query", b"405"),
        ("GET /é".encode(), b"404"),
        ("OPTIONS /é".encode(), b"200"),
        (b"GET /\xe9", b"400"),
        (b"GET /\x7f", b"400"),
    ],
)
def test_methods_and_targets_are_taken_as_they_are_written(
    server: Server, line: bytes, status: bytes
) -> None:
    found = answers(server, line + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert [one[9:12] for one in lines(found)] == [status]


def test_a_head_may_have_60_kilobytes_however_it_comes(server: Server) -> None:
    head = LAST[:-2] + b"Cookie: " + b"c" * 60_000 + b"\r\n\r\n"
    assert lines(answers(server, head)) == [b"HTTP/1.1 200 OK"]
    with server.connect() as connection:
        for start in range(0, len(head), 1_000):
            connection.sendall(head[start : start + 1_000])
        assert connection.recv(100).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize(
    ("path", "allow"),
    [("/embed", "POST"), ("/livez", "GET,HEAD"), ("/", "POST,GET,HEAD"), ("/nope", None)],
)
def test_options_tells_the_methods_of_a_path(server: Server, path: str, allow: str | None) -> None:
    reply = client.ask(server.port, "OPTIONS", path)
    assert (reply.status, reply.headers.get("allow")) == (200, allow)


def test_tls_carries_both_protocols(tmp_path: Path) -> None:
    """No option enables it; the test configures Hypercorn directly."""
    certificate = Path(__file__).with_name("localhost.pem")

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            for stage in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{stage}.complete"})
            return
        body = f"{scope['scheme']} {scope['http_version']}".encode()
        headers = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def scenario() -> list[bytes]:
        ready, ending = asyncio.Event(), asyncio.Event()

        async def trigger() -> None:
            ready.set()
            await ending.wait()

        config = ServerConfig()
        config.client_timeout_seconds = config.keep_alive_timeout = 60.0
        config.certfile = config.keyfile = str(certificate)
        config.bind = [f"unix:{tmp_path}/socket"]
        serving = asyncio.create_task(serve(app, config, Connections(9), trigger))
        await ready.wait()
        found = [
            await over_tls(tmp_path / "socket", certificate, one) for one in ("http/1.1", "h2")
        ]
        ending.set()
        await serving
        return found

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(scenario()) == [b"https 1.1", b"https 2"]


async def over_tls(path: Path, certificate: Path, protocol: str) -> bytes:
    """Return the body of an answer to `/`, over the protocol that ALPN selects."""
    context = ssl.create_default_context(cafile=certificate)
    context.set_alpn_protocols([protocol])
    reader, writer = await asyncio.open_unix_connection(
        path, ssl=context, server_hostname="localhost"
    )
    try:
        if protocol == "http/1.1":
            writer.write(LAST.replace(b"/livez", b"/"))
            return (await reader.read()).partition(b"\r\n\r\n")[2]
        client = H2Connection()
        client.initiate_connection()
        names = {":method": "GET", ":path": "/", ":scheme": "https", ":authority": "x"}
        client.send_headers(1, list(names.items()), end_stream=True)
        writer.write(client.data_to_send())
        while True:
            for event in client.receive_data(await reader.read(65536)):
                if isinstance(event, DataReceived):
                    return bytes(event.data)
    finally:
        writer.close()
