"""A clock that jumps, a process that is stopped for a while, and one with a CPU quota."""

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tools import tiny
from tools.process import ROOT, Server, eventually

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
    with Server(
        "--model-id", str(tiny_model), *flags, environment=clock.environment, log=tmp_path / "log"
    ) as running:
        running.wait_ready()
        yield running


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
        assert status_of(begun) == b"200"  # no time has passed for open requests
        after = embed(kept, **{"x-request-timeout-ms": "30000"})  # the connection was kept open
        assert after.status == 200
        assert (after.getheader("date") or "")[:17] != (before or "")[:17] or offset == "-1h"
        for path in ("/livez", "/readyz", "/health"):
            assert get(kept, path) == 200
        with begin_upload(server) as stalled:
            assert status_of(stalled) == b"408"  # timeouts still run
        with begin_upload(server) as last:
            clock.jump("+0")  # back again
            server.signal()
            last.sendall(BODY[5:])
            assert status_of(last) == b"200"
    assert server.process.wait(30) == 0
    log = (tmp_path / "log").read_text()
    assert "WARN" not in log
    assert "Traceback" not in log
    days = set(re.findall(r"^(\S+)T(\d\d):", log, re.MULTILINE))
    assert len(days) >= 2, "the log has the time that the clock shows"


@contextlib.contextmanager
def under_load(server: Server) -> Iterator[Counter[int]]:
    """Run four clients without a pause; yield the statuses that they got, which must be 200."""
    answers: Counter[int] = Counter()
    stop = threading.Event()

    def ask() -> None:
        with connected(server) as connection:
            while not stop.is_set():
                answers[embed(connection).status] += 1

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        eventually(lambda: answers[200] > 50)
        yield answers
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert set(answers) == {200}


def await_more(answers: Counter[int], server: Server) -> None:
    """Wait until a hundred more were answered, and the server is ready."""
    seen = answers[200]
    eventually(lambda: answers[200] > seen + 100)
    with connected(server) as connection:
        assert get(connection, "/readyz") == 200


def test_a_process_that_stood_still_goes_on(tiny_model: Path, tmp_path: Path) -> None:
    server = Server("--model-id", str(tiny_model), log=tmp_path / "log")
    try:
        server.wait_ready()
        with under_load(server) as answers:
            server.signal(signal.SIGSTOP)
            time.sleep(10)  # the fault itself
            server.signal(signal.SIGCONT)
            await_more(answers, server)
        server.signal()
        assert server.process.wait(30) == 0
        assert "WARN" not in (tmp_path / "log").read_text()
    finally:
        server.signal(signal.SIGCONT)
        server.stop()


class ControlGroup:
    """A control group of the CPU, of either version; needs root."""

    def __init__(self) -> None:
        first, second = Path("/sys/fs/cgroup/cpu"), Path("/sys/fs/cgroup")
        self._folder = (first if first.is_dir() else second) / f"test-{os.getpid()}"
        self._folder.mkdir()
        self.members = self._folder / "cgroup.procs"

    def allow(self, cores: float) -> None:
        """Set the CPU time that its processes have together; 0 sets no limit."""
        quota = round(cores * 100_000)
        first, second = self._folder / "cpu.cfs_quota_us", self._folder / "cpu.max"
        if first.exists():
            first.write_text(str(quota or -1))
        else:
            second.write_text(f"{quota or 'max'} 100000")

    def throttled(self) -> int:
        """Return in how many periods its processes were throttled."""
        lines = (self._folder / "cpu.stat").read_text().splitlines()
        return int(dict(line.split() for line in lines)["nr_throttled"])

    def remove(self) -> None:
        self._folder.rmdir()


@pytest.fixture
def group() -> Iterator[ControlGroup]:
    made = ControlGroup()
    yield made
    made.remove()


def test_a_quota_that_changes_while_it_serves_loses_nothing(
    tiny_model: Path, tmp_path: Path, group: ControlGroup
) -> None:
    server = Server("--model-id", str(tiny_model), log=tmp_path / "log")
    try:
        server.wait_ready()
        group.members.write_text(str(server.process.pid))
        with under_load(server) as answers:
            assert group.throttled() == 0
            group.allow(0.2)
            await_more(answers, server)
            assert group.throttled() > 0
            group.allow(0)
            await_more(answers, server)
        server.signal()
        assert server.process.wait(30) == 0
        assert "WARN" not in (tmp_path / "log").read_text()
    finally:
        server.stop()


@pytest.mark.parametrize(("quota", "cores"), [(0.5, 1), (1.0, 1), (1.5, 2)])
def test_a_quota_is_how_many_cores_are_used(group: ControlGroup, quota: float, cores: int) -> None:
    if len(os.sched_getaffinity(0)) < cores:
        pytest.skip("this machine has fewer")
    group.allow(quota)
    program = "from app.inference.providers.machine import usable_cores; print(usable_cores())"
    command = f'echo $$ > {group.members}; exec "$0" -c "{program}"'
    done = subprocess.run(
        ["/bin/sh", "-c", command, sys.executable], cwd=ROOT, capture_output=True, text=True
    )
    assert (done.stdout, done.stderr) == (f"{cores}\n", "")
