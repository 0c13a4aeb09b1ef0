"""The server: it answers many clients, and every accepted request before it ends."""

import json
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.support.wire import HEAD, client, embed, read_all
from tools import tiny
from tools.process import Server


@pytest.fixture
def own_server(tiny_model: Path) -> Iterator[Server]:
    """A server that the test may end, with timeouts that are too long to matter."""
    with Server("--model-id", str(tiny_model), "--shutdown-seconds", "300") as running:
        running.wait_ready()
        yield running


def test_a_vector_comes_over_the_wire(server: Server) -> None:
    with client(server) as connection:
        for _ in range(3):  # one connection for all three
            vectors = embed(connection)
            expected = tiny.unit(tiny.reference(tiny.ids_of("the cat")))
            np.testing.assert_allclose(vectors, [expected], atol=1e-6)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_server_waits_for_no_connection(own_server: Server, number: int) -> None:
    with own_server.connect(), client(own_server) as kept:
        embed(kept)
        own_server.signal(number)
        own_server.output()
        assert own_server.process.returncode == 0


def test_every_request_in_flight_is_answered(own_server: Server) -> None:
    """200 requests are on their way, each on a connection of its own, when SIGTERM comes."""
    body = json.dumps({"inputs": ["the cat sat on the mat"] * 2}).encode()
    head = b"POST /embed HTTP/1.1\r\n" + HEAD + b"Content-Length: %d\r\n\r\n" % len(body)
    connections = [own_server.connect() for _ in range(200)]
    for connection in connections:
        connection.sendall(head + body)
    own_server.signal()
    answers = []
    for connection in connections:
        with connection:
            answers.append(read_all(connection))
    output = own_server.output()
    assert own_server.process.returncode == 0, output
    assert [answer[:12] for answer in answers] == [b"HTTP/1.1 200"] * 200
    assert all(b"]]" in answer for answer in answers)


def test_while_it_drains_health_is_red_and_the_port_open(tiny_model: Path) -> None:
    running = Server("--model-id", str(tiny_model), "--drain-seconds", "300")
    running.wait_ready()
    running.signal()
    running.wait_for("starting graceful shutdown")
    with client(running) as connection:
        connection.request("GET", "/health")
        answer = connection.getresponse()
        assert answer.status == 503
        assert answer.getheader("connection") == "close"
    with client(running) as connection:
        assert embed(connection)


def test_a_client_that_never_sends_its_body_cannot_hold_up_the_end(tiny_model: Path) -> None:
    flags = ("--drain-seconds", "0.1", "--shutdown-seconds", "1")
    running = Server("--model-id", str(tiny_model), *flags)
    running.wait_ready()
    with running.connect() as connection:
        head = HEAD + b"Content-Length: 14\r\nExpect: 100-continue\r\n\r\n"
        connection.sendall(b"POST /embed HTTP/1.1\r\n" + head)
        assert connection.recv(65536).startswith(b"HTTP/1.1 100")  # it waits for the body
        running.signal()
        output = running.output()
    assert running.process.returncode == 0  # no request came whole, so none is lost
    assert "Traceback" not in output


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_at_once(tiny_model: Path, number: signal.Signals) -> None:
    running = Server("--model-id", str(tiny_model), "--drain-seconds", "300")
    running.wait_ready()
    running.signal(number)
    running.wait_for("starting graceful shutdown")
    running.signal(number)
    assert "second signal" in running.output()
    assert running.process.returncode == 1


def test_many_clients_at_once_get_their_own_vectors(server: Server) -> None:
    texts = [" ".join(tiny.WORDS[4 + (i + k) % 12] for k in range(1 + i % 8)) for i in range(64)]
    found: dict[int, list[float]] = {}

    def ask(place: int) -> None:
        with client(server) as connection:
            for _ in range(5):
                found[place] = embed(connection, texts[place])[0]

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(len(texts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for place, text in enumerate(texts):
        expected = tiny.unit(tiny.reference(tiny.ids_of(text)))
        np.testing.assert_allclose(found[place], expected, atol=1e-6)
