"""Clients that vanish by the thousand."""

import contextlib
import http.client
import json
import socket
import time
from pathlib import Path

import pytest

from tools.process import Server

pytestmark = pytest.mark.slow

BODY = json.dumps({"inputs": ["the cat sat on the mat"] * 8}).encode()
REQUEST = (
    b"POST /embed HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\n\r\n" % len(BODY)
) + BODY


def get(server: Server, method: str, path: str, body: bytes | None = None) -> tuple[int, str]:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", server.port)) as connection:
        connection.request(method, path, body, {"content-type": "application/json"})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


def files(server: Server) -> int:
    return len(list(Path(f"/proc/{server.process.pid}/fd").iterdir()))


def is_as_before(server: Server, before: int) -> bool:
    """Every permit is free again, and every file closed."""
    whole = json.dumps({"inputs": ["cat"] * 64}).encode()
    return files(server) <= before and get(server, "POST", "/embed", whole)[0] == 200


@pytest.mark.parametrize("sent", [0, len(REQUEST) // 2, len(REQUEST)])
@pytest.mark.parametrize("clients", [1_000, 10_000])
def test_clients_that_vanish_leave_a_server_that_answers(
    tiny_model: Path, sent: int, clients: int
) -> None:
    arguments = ("--max-concurrent-requests", "64", "--max-client-batch-size", "64")
    server = Server("--model-id", str(tiny_model), *arguments, "--log-level", "off")
    try:
        server.wait_ready()
        get(server, "GET", "/livez")
        before = files(server)
        for _ in range(clients):
            with socket.create_connection(("127.0.0.1", server.port)) as connection:
                connection.sendall(REQUEST[:sent])
        end = time.monotonic() + 30
        while not is_as_before(server, before):
            assert time.monotonic() < end, "something is still held"
            time.sleep(0.05)
        server.signal()
        server.output()
        assert server.process.returncode == 0
    finally:
        server.stop()
