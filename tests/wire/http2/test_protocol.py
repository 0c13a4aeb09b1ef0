"""HTTP/2 over real sockets: what it offers, and what it denies to clients."""

import json
from pathlib import Path

import pytest
from h2.errors import ErrorCodes

from app.wire.http2.protocol import CONTROL_FRAMES, RESETS
from tests.support.held import NOTHING, held
from tests.support.http2 import Client
from tools.process import Server, eventually

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


@pytest.mark.parametrize(
    "head",
    [
        {"path": b"/\xff\xfe"},
        {"method": b"G\xff"},
        {"method": b"CONNECT", "protocol": b"websocket"},
    ],
)
def test_a_head_that_makes_no_sense_costs_one_request(
    server: Server, head: dict[str, bytes]
) -> None:
    with Client(server) as client:
        waiting = client.open()
        senseless = client.open(**head)
        assert client.reset(senseless) == ErrorCodes.PROTOCOL_ERROR
        client.end(waiting, b'{"inputs":"cat"}')
        assert client.answer(waiting)[0] == 200


def test_a_client_that_keeps_resetting_streams_is_disconnected(server: Server) -> None:
    with Client(server) as client:
        for _ in range(RESETS + 1):
            client.protocol.reset_stream(client.open())
        client.send()
        assert client.goodbye() == ErrorCodes.ENHANCE_YOUR_CALM
    eventually(lambda: held(server) == NOTHING)


SETTINGS, PING = b"\0\0\0\4\0\0\0\0\0", b"\0\0\x08\6\0\0\0\0\0" + b"p" * 8
WINDOW_UPDATE, UNKNOWN = b"\0\0\4\x08\0\0\0\0\0\0\0\0\1", b"\0\0\0\x2a\0\0\0\0\0"


@pytest.mark.parametrize("frame", [SETTINGS, PING, WINDOW_UPDATE, UNKNOWN])
def test_a_client_that_floods_with_empty_frames_is_disconnected(
    server: Server, frame: bytes
) -> None:
    with Client(server) as client:
        client.socket.sendall(frame * (CONTROL_FRAMES - 100))
        assert client.answer(client.post("cat"))[0] == 200
        client.socket.sendall(frame * 200)
        assert client.goodbye() == ErrorCodes.ENHANCE_YOUR_CALM
    eventually(lambda: held(server) == NOTHING)


@pytest.mark.slow
def test_a_client_with_large_answers_may_update_the_window_often(server: Server) -> None:
    """Each of these answers has more than forty kilobytes, which allow it as many frames."""
    body = json.dumps({"inputs": ["the cat sat on the mat"] * 32}).encode()
    frames = 0
    with Client(server) as client:
        while frames <= CONTROL_FRAMES:
            stream = client.open(path=b"/embed_all")
            client.end(stream, body)
            status, vectors = client.answer(stream)
            assert status == 200
            assert len(json.dumps(vectors, separators=(",", ":"))) > 40 * 1024
            for _ in range(48):
                client.protocol.increment_flow_control_window(1_000)
                frames += 1
            client.send()
        assert client.answer(client.post("cat"))[0] == 200


def test_priorities_are_not_kept(server: Server) -> None:
    with Client(server) as client:
        for stream in range(1, 4_001, 2):
            client.protocol.prioritize(stream, depends_on=stream + 2)
        client.send()
        assert client.answer(client.post("cat"))[0] == 200


@pytest.mark.parametrize("sent", [b"", b"\xff" * 100, b"\0\0\xff\1"])
def test_a_connection_without_a_request_is_closed(hasty_server: Server, sent: bytes) -> None:
    with hasty_server.connect() as connection:
        connection.sendall(PREFACE + sent)
        while connection.recv(65_536):
            pass


def test_not_even_a_trace_tells_the_key(tiny_model: Path) -> None:
    environment = {"API_KEY": "hunter2", "LOG_LEVEL": "trace,hpack=trace"}
    server = Server("--model-id", str(tiny_model), environment=environment)
    server.wait_ready()
    with Client(server) as client:
        for key, status in ((b"Bearer hunter2", 200), (b"Bearer hunter3", 401)):
            stream = client.open(authorization=key)
            client.end(stream, b'{"inputs":"cat"}')
            assert client.answer(stream)[0] == status
    server.signal()
    output = server.output()
    assert server.process.returncode == 0, output
    assert "hunter" not in output
