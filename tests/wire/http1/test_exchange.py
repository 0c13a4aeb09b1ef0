"""Exchanges over real sockets: what HTTP/1.x allows a client, and what is refused."""

import socket
import time
from email.utils import parsedate_to_datetime
from pathlib import Path

import pytest

from tests.support.wire import HEAD, client, embed, read_all
from tools.process import Server, eventually


def read_answer(connection: socket.socket) -> bytes:
    """Read one answer with a content-length; the connection stays open."""
    content = b""
    while b"\r\n\r\n" not in content:
        content += connection.recv(65536)
    head, _, body = content.partition(b"\r\n\r\n")
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    while len(body) < length:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


def test_a_slow_body_in_pieces_is_read(server: Server) -> None:
    body = b'{"inputs":"the cat"}'
    with server.connect() as connection:
        connection.sendall(
            b"POST /embed HTTP/1.1\r\n" + HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
        )
        for byte in body:
            connection.sendall(b"1\r\n%c\r\n" % byte)
        connection.sendall(b"0\r\n\r\n")
        assert read_answer(connection).startswith(b"HTTP/1.1 200")


def test_expect_100_continue_is_met(server: Server) -> None:
    with server.connect() as connection:
        head = b"Content-Length: 14\r\nExpect: 100-continue\r\n\r\n"
        connection.sendall(b"POST /embed HTTP/1.1\r\n" + HEAD + head)
        assert connection.recv(65536).startswith(b"HTTP/1.1 100")
        connection.sendall(b'{"inputs":"a"}')
        assert read_answer(connection).startswith(b"HTTP/1.1 200")


def test_an_offer_of_h2c_keeps_its_body(server: Server) -> None:
    with server.connect() as connection:
        offer = (
            b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n"
        )
        length = b"Content-Length: 14\r\n\r\n"
        connection.sendall(b"POST /embed HTTP/1.1\r\n" + HEAD + offer + length + b'{"inputs":"a"}')
        assert read_answer(connection).startswith(b"HTTP/1.1 200")


def test_a_refused_request_leaves_its_connection_open(tiny_model: Path) -> None:
    small = Server("--model-id", str(tiny_model), "--max-client-batch-size", "1")
    try:
        small.wait_ready()
        with client(small) as connection:
            for texts, status in (("[1]", 200), ('["a","b"]', 422), ('"a"', 200)):
                content = f'{{"inputs":{texts}}}'
                connection.request("POST", "/embed", content, {"content-type": "application/json"})
                if status == 200:
                    kept = connection.sock
                answer = connection.getresponse()
                assert (answer.status, connection.sock) == (status, kept)
                answer.read()
    finally:
        small.stop()


@pytest.mark.parametrize(
    "offer",
    [
        b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
        b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: A\r\n",
        b"Connection: Upgrade\r\nUpgrade: h2c\r\n",
        b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
    ],
)
def test_an_upgrade_is_not_taken(server: Server, offer: bytes) -> None:
    with server.connect() as connection:
        for _ in range(2):  # the protocol stays the same
            connection.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n" + offer + b"\r\n")
            answer = read_answer(connection)
            assert answer.startswith(b"HTTP/1.1 200")
            assert b"upgrade" not in answer


def test_http_1_0_is_answered_and_closed(server: Server) -> None:
    with server.connect() as connection:
        connection.sendall(b"POST /embed HTTP/1.0\r\n" + HEAD + b"Content-Length: 14\r\n\r\n")
        connection.sendall(b'{"inputs":"a"}')
        assert read_all(connection).startswith(b"HTTP/1.0 200 OK\r\n")


def test_pipelined_requests_are_answered_in_order(server: Server) -> None:
    one = b"POST /embed HTTP/1.1\r\n" + HEAD + b"Content-Length: 14\r\n\r\n" + b'{"inputs":"a"}'
    last = b"GET /nope HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    with server.connect() as connection:
        connection.sendall(one + one + last)
        answers = read_all(connection)
    assert answers.count(b"HTTP/1.1 200") == 2
    assert answers.index(b"HTTP/1.1 404") > answers.rindex(b"HTTP/1.1 200")


def test_answers_carry_the_date_of_their_second_and_no_server(server: Server) -> None:
    dates: set[float] = set()
    with client(server) as connection:
        while len(dates) < 2:  # it moves on
            before = int(time.time())
            connection.request("GET", "/livez")
            response = connection.getresponse()
            response.read()
            date = parsedate_to_datetime(response.headers["date"]).timestamp()
            assert before <= date <= time.time()
            assert "server" not in response.headers
            dates.add(date)


@pytest.mark.parametrize(
    "request_line",
    [b"NONSENSE\r\n\r\n", b"GET /health HTTP/1.1\r\n\r\n"],
)
def test_invalid_http_is_400_and_closed(server: Server, request_line: bytes) -> None:
    with server.connect() as connection:
        connection.sendall(request_line)
        assert read_all(connection).startswith(b"HTTP/1.1 400")


def test_a_large_upload_that_is_refused_leaves_nothing_behind(server: Server) -> None:
    """Hypercorn would keep the connection, two tasks and a full buffer, unless the rest is read."""
    descriptors = Path(f"/proc/{server.process.pid}/fd")
    before = len(list(descriptors.iterdir()))
    for _ in range(20):
        with server.connect() as connection:
            head = b"POST /embed HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n"
            connection.sendall(head)
            for _ in range(40):
                connection.sendall(b"x" * 65536)
            assert connection.recv(65536).startswith(b"HTTP/1.1 415")
    eventually(lambda: len(list(descriptors.iterdir())) <= before)


def test_clients_that_vanish_leave_nothing_behind(server: Server) -> None:
    descriptors = Path(f"/proc/{server.process.pid}/fd")
    before = len(list(descriptors.iterdir()))
    request = b"POST /embed HTTP/1.1\r\n" + HEAD + b'Content-Length: 14\r\n\r\n{"inputs":"a"}'
    for cut in range(0, len(request) + 1, 3):
        with server.connect() as connection:
            connection.sendall(request[:cut])
    with client(server) as connection:
        embed(connection)
    eventually(lambda: len(list(descriptors.iterdir())) <= before)
