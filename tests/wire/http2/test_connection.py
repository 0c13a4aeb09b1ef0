"""Requests that share a connection: each has its answer, and a stalled client leaves nothing."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from h2.errors import ErrorCodes

from tests.support.held import NOTHING, held
from tests.support.http2 import Client
from tools import tiny
from tools.process import Server, eventually


@pytest.fixture
def own_server(tiny_model: Path) -> Iterator[Server]:
    """A server that the test ends, with timeouts that are too long to matter."""
    with Server("--model-id", str(tiny_model), "--shutdown-seconds", "300") as running:
        running.wait_ready()
        yield running


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


def test_data_after_an_early_answer_harms_no_other_request(server: Server) -> None:
    with Client(server) as client:
        waiting = client.open()
        refused = client.open(content_type=b"text/plain")
        assert client.answer(refused) == (415, None)
        client.protocol.send_data(refused, b"x" * 10_000)
        client.end(waiting, b'{"inputs":"cat"}')
        assert client.answer(waiting)[0] == 200


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
        output = own_server.output()  # although the client stays
    assert own_server.process.returncode == 0
    assert "Traceback" not in output
