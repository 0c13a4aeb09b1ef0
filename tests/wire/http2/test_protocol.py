"""HTTP/2 over real sockets: what it gives, and what a client cannot do with it."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from h2.errors import ErrorCodes

from app.wire.http2.protocol import CONTROL_FRAMES, RESETS
from tests.support.http2 import Client
from tools import tiny
from tools.process import Server, eventually

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


@pytest.fixture(scope="module")
def server(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Whatever it is sent, it logs no error of its own."""
    yield from serving(tiny_model, tmp_path_factory.mktemp("http2") / "log")


@pytest.fixture(scope="module")
def hasty_server(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The same, but soon out of patience, for the tests that wait until it is."""
    log = tmp_path_factory.mktemp("hasty") / "log"
    yield from serving(tiny_model, log, "--client-timeout-seconds", "0.5")


def serving(model: Path, log: Path, *flags: str) -> Iterator[Server]:
    with Server("--model-id", str(model), *flags, log=log) as running:
        running.wait_ready()
        yield running
        running.signal()
        assert running.process.wait(30) == 0
    assert "Traceback" not in log.read_text()


@pytest.fixture
def own_server(tiny_model: Path) -> Iterator[Server]:
    """A server that the test ends; what it may wait for, it waits for too long."""
    with Server("--model-id", str(tiny_model), "--shutdown-seconds", "300") as running:
        running.wait_ready()
        yield running


def held(server: Server) -> set[str]:
    """What requests hold: permits, and bytes of bodies."""
    lines = server.get("/metrics").text.splitlines()
    return {one for one in lines if one.startswith(("te_permits_taken", "te_body_bytes_held"))}


NOTHING = {"te_permits_taken 0", "te_body_bytes_held 0"}


def test_requests_share_a_connection_and_get_their_own_vectors(server: Server) -> None:
    texts = ["the cat", "dog", "the cat sat on the mat"]
    with Client(server) as client:
        streams = [client.post(text) for text in texts]
        answers = [client.answer(stream) for stream in reversed(streams)]
    for text, (status, vectors) in zip(reversed(texts), answers, strict=True):
        assert status == 200
        np.testing.assert_allclose(
            vectors, [tiny.unit(tiny.reference(tiny.ids_of(text)))], atol=1e-6
        )


def test_an_answer_that_is_not_taken_is_given_up_and_the_others_are_not(
    hasty_server: Server,
) -> None:
    with Client(hasty_server, window=0) as client:
        stalled = client.post("the cat")
        assert client.reset(stalled) == ErrorCodes.CANCEL
        other = client.post("the cat")
        client.protocol.increment_flow_control_window(10_000, other)
        client.send()
        assert client.answer(other)[0] == 200
        assert held(hasty_server) == NOTHING


@pytest.mark.parametrize("way", ["takes it back", "vanishes"])
def test_a_client_that_takes_nothing_and_goes_leaves_nothing_behind(
    server: Server, way: str
) -> None:
    with Client(server, window=0) as client:
        stream = client.post("the cat")
        eventually(lambda: held(server) != NOTHING)
        if way == "takes it back":
            client.protocol.reset_stream(stream)
            client.send()
        else:
            client.socket.close()
        eventually(lambda: held(server) == NOTHING)


def test_what_follows_an_early_answer_harms_no_other_request(server: Server) -> None:
    with Client(server) as client:
        waiting = client.open()
        refused = client.open(content_type=b"text/plain")
        assert client.answer(refused) == (415, None)
        client.protocol.send_data(refused, b"x" * 10_000)
        client.end(waiting, b'{"inputs":"cat"}')
        assert client.answer(waiting)[0] == 200


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


def test_a_client_that_takes_back_what_it_asks_for_has_to_go(server: Server) -> None:
    with Client(server) as client:
        for _ in range(RESETS + 1):
            client.protocol.reset_stream(client.open())
        client.send()
        assert client.goodbye() == ErrorCodes.ENHANCE_YOUR_CALM
    eventually(lambda: held(server) == NOTHING)


SETTINGS, PING = b"\0\0\0\4\0\0\0\0\0", b"\0\0\x08\6\0\0\0\0\0" + b"p" * 8
WINDOW_UPDATE, UNKNOWN = b"\0\0\4\x08\0\0\0\0\0\0\0\0\1", b"\0\0\0\x2a\0\0\0\0\0"


@pytest.mark.parametrize("frame", [SETTINGS, PING, WINDOW_UPDATE, UNKNOWN])
def test_a_client_that_sends_frames_that_ask_for_nothing_has_to_go(
    server: Server, frame: bytes
) -> None:
    with Client(server) as client:
        client.socket.sendall(frame * (CONTROL_FRAMES - 100))
        assert client.answer(client.post("cat"))[0] == 200
        client.socket.sendall(frame * 200)
        assert client.goodbye() == ErrorCodes.ENHANCE_YOUR_CALM
    eventually(lambda: held(server) == NOTHING)


@pytest.mark.slow
def test_who_takes_large_answers_may_open_the_window_often(server: Server) -> None:
    """Each of these answers has more than forty kilobytes, which earn it as many frames."""
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


def test_at_the_end_what_has_begun_is_answered_and_the_rest_refused(own_server: Server) -> None:
    with Client(own_server) as client, Client(own_server) as idle:
        assert idle.answer(idle.post("cat"))[0] == 200
        begun = client.open()
        client.protocol.ping(b"is it in")
        client.send()
        client.wait(lambda event: type(event).__name__ == "PingAckReceived")
        own_server.signal(signal.SIGTERM)
        assert idle.goodbye() == ErrorCodes.NO_ERROR
        late = client.post("dog")
        assert client.reset(late) == ErrorCodes.REFUSED_STREAM
        client.end(begun, json.dumps({"inputs": "cat"}).encode())
        assert client.answer(begun)[0] == 200
        assert client.goodbye() == ErrorCodes.NO_ERROR
        output = own_server.output()  # though the client stays
    assert own_server.process.returncode == 0
    assert "Traceback" not in output
