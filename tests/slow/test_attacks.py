"""Attacks by single clients with few bytes, against defaults; other clients are served."""

import contextlib
import http.client
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.attacks.attackers import FULL, LONG, TWO_MEGABYTES
from tools.process import Server, eventually, most_resident

pytestmark = pytest.mark.slow

MODEL = "sentence-transformers/all-MiniLM-L6-v2"
SHORT = b'{"inputs":"what is the capital of france"}'
HALF_A_GIGABYTE = 512 * 2**20


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """The default model with every option at its default."""
    flags = ("--model-id", MODEL, "--provider", "cpu", "--dtype", "float32")
    with Server(*flags, log=tmp_path / "log") as running:
        running.wait_ready()
        yield running


@contextlib.contextmanager
def asked(server: Server, path: str, body: bytes) -> Iterator[http.client.HTTPConnection]:
    """Send a request; yield the connection, whose answer may be awaited."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", server.port)) as connection:
        connection.request("POST", path, body, {"content-type": "application/json"})
        yield connection


def post(server: Server, path: str, body: bytes) -> tuple[int, bytes]:
    reply = server.post(path, body)
    return reply.status, reply.content


def metric(server: Server, name: str) -> int:
    text = server.get("/metrics").text
    found = re.search(rf"^{name} (\d+)$", text, re.MULTILINE)
    return 0 if found is None else int(found[1])


def permits_taken(server: Server) -> int:
    return metric(server, "te_permits_taken")


def test_a_short_text_does_not_wait_for_two_megabytes(server: Server) -> None:
    """Ten are answered one after another before the long ones are tokenized."""
    before = metric(server, "te_batch_next_size_sum")
    with asked(server, "/embed", TWO_MEGABYTES):
        eventually(lambda: permits_taken(server) == 31)
        for _ in range(10):
            assert post(server, "/embed", SHORT)[0] == 200
        assert permits_taken(server) == 31
        assert metric(server, "te_batch_next_size_sum") == before + 10


def test_an_answer_fifty_times_its_request_is_never_whole_in_memory(server: Server) -> None:
    before = most_resident(server.process.pid)
    with asked(server, "/tokenize", TWO_MEGABYTES) as connection:
        answer = connection.getresponse()
        assert (answer.status, answer.getheader("content-length")) == (200, None)
        tokens = json.loads(answer.read())
    assert len(tokens) == 31
    assert all(one == tokens[0] for one in tokens)
    places = [token["stop"] for token in tokens[0] if not token["special"]]
    assert places == sorted(places)
    assert places[-1] == len(LONG)
    assert most_resident(server.process.pid) < before + 100_000_000


def test_callers_that_read_nothing_keep_less_than_half_a_gigabyte_busy(server: Server) -> None:
    with contextlib.ExitStack() as asking:
        asking_ones = [
            asking.enter_context(asked(server, "/tokenize", TWO_MEGABYTES)) for _ in range(6)
        ]
        statuses = [one.getresponse().status for one in asking_ones]
        assert sorted(statuses) == [200] * 5 + [429]
        eventually(lambda: permits_taken(server) == 0)  # so that others find some
        for _ in range(10):
            assert post(server, "/embed", SHORT)[0] == 200
        assert most_resident(server.process.pid) < HALF_A_GIGABYTE
    assert post(server, "/tokenize", SHORT)[0] == 200


def test_unread_vectors_leave_room_to_others(server: Server) -> None:
    """Each answer has 12.6 MB still to be rendered; only those with room are computed."""
    before = most_resident(server.process.pid)
    with contextlib.ExitStack() as asking:
        asked_for = [asking.enter_context(asked(server, "/embed_all", FULL)) for _ in range(12)]
        statuses = [one.getresponse().status for one in asked_for]
        assert sorted(statuses) == [200] * 3 + [429] * 9
        for _ in range(10):
            assert post(server, "/embed", SHORT)[0] == 200
        assert most_resident(server.process.pid) < before + 150_000_000
    eventually(lambda: post(server, "/embed_all", FULL)[0] == 200)
