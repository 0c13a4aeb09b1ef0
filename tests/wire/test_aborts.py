"""Clients that vanish at every byte of a request and of its answer, by close or reset."""

import contextlib
import json
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tools import tiny
from tools.process import Server, eventually

TEXTS = ["the cat", "dog"]
BODY = json.dumps({"inputs": TEXTS}).encode()
HEAD = b"POST /embed HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
DECLARED = HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % len(BODY) + BODY + b"\r\n0\r\n\r\n"
RESET = struct.pack("ii", 1, 0)  # close sends a reset
FREE = {"te_permits_taken 0", "te_body_bytes_held 0", "te_queue_size 0"}


@pytest.fixture(scope="module")
def server(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that must log nothing about it."""
    log = tmp_path_factory.mktemp("aborts") / "log"
    level = ("--log-level", "warn,app.api.spans=off")
    with Server("--model-id", str(tiny_model), *level, log=log) as running:
        running.wait_ready()
        embed(running)  # the metric of the queue exists from the first request on
        yield running
        running.signal()
        assert running.process.wait(30) == 0
        assert log.read_text() == ""


@contextlib.contextmanager
def connected(server: Server, *, resets: bool) -> Iterator[socket.socket]:
    with server.connect() as connection:
        if resets:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        yield connection


def files(server: Server) -> int:
    return len(list(Path(f"/proc/{server.process.pid}/fd").iterdir()))


def await_as_before(server: Server, open_files: int) -> None:
    """Wait until nothing is held, every file is closed, and vectors are right."""

    def is_as_before() -> bool:
        lines = set(server.get("/metrics").text.splitlines())
        return lines >= FREE and files(server) <= open_files + 1  # the test's own connection

    eventually(is_as_before)
    embed(server)


def embed(server: Server) -> None:
    """Ask for vectors, which must be right."""
    reply = server.post("/embed", BODY)
    assert reply.status == 200
    expected = [tiny.unit(tiny.reference(tiny.ids_of(text))) for text in TEXTS]
    np.testing.assert_allclose(reply.json, expected, atol=1e-6)


@pytest.mark.parametrize("request_", [DECLARED, CHUNKED], ids=["declared", "chunked"])
@pytest.mark.parametrize("resets", [False, True], ids=["closes", "resets"])
def test_clients_that_vanish_at_any_byte_of_a_request_leave_nothing(
    server: Server, request_: bytes, resets: bool
) -> None:
    await_as_before(server, 1_000)
    before = files(server)
    for sent in range(len(request_) + 1):
        with connected(server, resets=resets) as connection:
            connection.sendall(request_[:sent])
    await_as_before(server, before)


@pytest.mark.slow
@pytest.mark.parametrize("resets", [False, True], ids=["closes", "resets"])
def test_clients_that_vanish_at_any_byte_of_an_answer_leave_nothing(
    server: Server, resets: bool
) -> None:
    await_as_before(server, 1_000)
    before = files(server)
    taken, is_whole = 0, False
    while not is_whole:
        with connected(server, resets=resets) as connection:
            connection.sendall(DECLARED)
            answer = b""
            while len(answer) < taken and not is_whole:
                answer += connection.recv(taken - len(answer))
                is_whole = answer.endswith(b"]]")
            assert answer == b"HTTP/1.1 200"[: len(answer)] or answer.startswith(b"HTTP/1.1 200")
        taken += 1
    await_as_before(server, before)
