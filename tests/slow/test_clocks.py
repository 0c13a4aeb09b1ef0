"""A wall clock that jumps, and a process that stands still for a while."""

import contextlib
import http.client
import json
import re
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from tests import tiny
from tests.process import Server

pytestmark = pytest.mark.slow

LIBRARIES = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
JUMPS = {"a day forwards": "+1d", "an hour backwards": "-1h"}
HEAD = b"POST /embed HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
BODY = b'{"inputs":"the cat"}'


class Clock:
    """The wall clock of one process; its monotonic clock is the real one."""

    def __init__(self, folder: Path) -> None:
        assert LIBRARIES, "install faketime"
        self._offset = folder / "offset"
        self.jump("+0")
        self.environment = {
            "LD_PRELOAD": str(LIBRARIES[0]),
            "FAKETIME_TIMESTAMP_FILE": str(self._offset),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def jump(self, offset: str) -> None:
        fresh = self._offset.with_suffix(".new")
        fresh.write_text(offset)
        fresh.rename(self._offset)


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    return Clock(tmp_path)


@pytest.fixture
def server(tiny_model: Path, tmp_path: Path, clock: Clock) -> Iterator[Server]:
    flags = ("--client-timeout-seconds", "3", "--run-timeout-seconds", "5")
    running = Server(
        "--model-id", str(tiny_model), *flags, environment=clock.environment, log=tmp_path / "log"
    )
    running.wait_ready()
    yield running
    running.stop()


@contextlib.contextmanager
def connected(server: Server) -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    with contextlib.closing(connection):
        yield connection


def embed(connection: http.client.HTTPConnection, **headers: str) -> http.client.HTTPResponse:
    connection.request("POST", "/embed", BODY, {"content-type": "application/json", **headers})
    answer = connection.getresponse()
    if answer.status == 200:
        expected = tiny.unit(tiny.reference(tiny.ids_of("the cat")))
        np.testing.assert_allclose(json.loads(answer.read()), [expected], atol=1e-6)
    return answer


def get(connection: http.client.HTTPConnection, path: str) -> int:
    connection.request("GET", path)
    answer = connection.getresponse()
    answer.read()
    return answer.status


def begin_upload(server: Server) -> socket.socket:
    connection = server.connect()
    connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY[:5])
    return connection


def status_of(connection: socket.socket) -> bytes:
    connection.settimeout(60)
    return connection.recv(65_536)[9:12]


@pytest.mark.parametrize("offset", JUMPS.values(), ids=JUMPS)
def test_a_jump_of_the_wall_clock_changes_nothing_but_dates(
    server: Server, clock: Clock, tmp_path: Path, offset: str
) -> None:
    with connected(server) as kept, begin_upload(server) as begun:
        before = embed(kept).getheader("date")
        clock.jump(offset)
        begun.sendall(BODY[5:])
        assert status_of(begun) == b"200"  # no time has passed for what was under way
        after = embed(kept, **{"x-request-timeout-ms": "30000"})  # the connection was kept
        assert after.status == 200
        assert (after.getheader("date") or "")[:17] != (before or "")[:17] or offset == "-1h"
        for path in ("/livez", "/readyz", "/health"):
            assert get(kept, path) == 200
        with begin_upload(server) as stalled:
            assert status_of(stalled) == b"408"  # and time goes on to pass
        with begin_upload(server) as last:
            clock.jump("+0")  # back again, the other way
            server.signal()
            last.sendall(BODY[5:])
            assert status_of(last) == b"200"
    assert server.process.wait(30) == 0
    log = (tmp_path / "log").read_text()
    assert "WARN" not in log
    assert "Traceback" not in log
    days = set(re.findall(r"^(\S+)T(\d\d):", log, re.MULTILINE))
    assert len(days) >= 2, "the log has the time that the clock shows"


def steady(claim: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not claim():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_process_that_stood_still_goes_on(tiny_model: Path, tmp_path: Path) -> None:
    server = Server("--model-id", str(tiny_model), log=tmp_path / "log")
    answers: Counter[int] = Counter()
    stop = threading.Event()

    def ask() -> None:
        with connected(server) as connection:
            while not stop.is_set():
                answers[embed(connection).status] += 1

    try:
        server.wait_ready()
        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        steady(lambda: answers[200] > 50)
        server.signal(signal.SIGSTOP)
        time.sleep(10)  # the fault itself
        server.signal(signal.SIGCONT)
        seen = answers[200]
        steady(lambda: answers[200] > seen + 100)
        with connected(server) as connection:
            assert get(connection, "/readyz") == 200
        stop.set()
        for thread in threads:
            thread.join()
        assert set(answers) == {200}
        server.signal()
        assert server.process.wait(30) == 0
        assert "WARN" not in (tmp_path / "log").read_text()
    finally:
        stop.set()
        server.signal(signal.SIGCONT)
        server.stop()
