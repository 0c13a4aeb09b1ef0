"""Clients that vanish by the thousand."""

import json
import socket
from pathlib import Path

import pytest

from tools.process import Server, eventually

pytestmark = pytest.mark.slow

BODY = json.dumps({"inputs": ["the cat sat on the mat"] * 8}).encode()
REQUEST = (
    b"POST /embed HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    b"Content-Length: %d\r\n\r\n" % len(BODY)
) + BODY


def files(server: Server) -> int:
    return len(list(Path(f"/proc/{server.process.pid}/fd").iterdir()))


def is_as_before(server: Server, before: int) -> bool:
    """Return whether every permit is free again, and every file closed."""
    whole = json.dumps({"inputs": ["cat"] * 64}).encode()
    return files(server) <= before and server.post("/embed", whole).status == 200


@pytest.mark.parametrize("sent", [0, len(REQUEST) // 2, len(REQUEST)])
@pytest.mark.parametrize("clients", [1_000, 10_000])
def test_clients_that_vanish_leave_a_server_that_answers(
    tiny_model: Path, sent: int, clients: int
) -> None:
    arguments = ("--max-concurrent-requests", "64", "--max-client-batch-size", "64")
    server = Server("--model-id", str(tiny_model), *arguments, "--log-level", "off")
    try:
        server.wait_ready()
        server.get("/livez")
        before = files(server)
        for _ in range(clients):
            with socket.create_connection(("127.0.0.1", server.port)) as connection:
                connection.sendall(REQUEST[:sent])
        eventually(lambda: is_as_before(server, before), 30, "something is still held")
        server.signal()
        server.output()
        assert server.process.returncode == 0
    finally:
        server.stop()
