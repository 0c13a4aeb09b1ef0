"""Answers that the client does not read."""

import json
import socket
from pathlib import Path

import pytest

from tests.support.connections import GET, HEAD, START, read_all, status_of


@pytest.mark.parametrize("path", [b"/health", b"/info", b"/nowhere"])
def test_a_client_that_left_before_its_answer_is_left(start: START, path: bytes) -> None:
    server = start()
    for _ in range(20):
        with server.connect() as connection:
            connection.sendall(GET.replace(b"/livez", path))
            connection.shutdown(socket.SHUT_WR)
            read_all(connection)  # it ends by itself, before the keep-alive timeout


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


@pytest.mark.slow
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
