"""Two replicas behind a proxy are restarted one by one, under load: no request is lost.

A pooled connection may be closed while a request is on its way to it. HAProxy knows by itself when
it may repeat a request; nginx must be told that repeating an embedding does no harm.
"""

import contextlib
import http.client
import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.proxies import proxied
from tools import client
from tools.process import Server, eventually

pytestmark = pytest.mark.slow

CLIENTS = 8
ROUNDS = 2
BODY = json.dumps({"inputs": ["the cat sat on the mat", "dog"]})


class Load:
    """Clients that ask without a pause, and the outcome of each request."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.answers: Counter[str] = Counter()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(CLIENTS)]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def await_more(self, answers: int = 200) -> None:
        """Wait until this many more requests have been answered or have failed."""
        goal = self.answers.total() + answers
        eventually(lambda: self.answers.total() >= goal, 60, "no answers any more")

    def _ask(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=60)
        with contextlib.closing(connection):
            while not self._stop.is_set():
                try:
                    connection.request("POST", "/embed", BODY, {"content-type": "application/json"})
                    answer = connection.getresponse()
                    content = answer.read()
                    right = answer.status != 200 or len(json.loads(content)) == 2
                    self.answers[str(answer.status) if right else "wrong"] += 1
                except (OSError, http.client.HTTPException) as error:
                    self.answers[repr(error)] += 1
                    connection.close()


def await_steady(claim: Callable[[], bool]) -> None:
    """Wait until a condition has held for a second, over several of HAProxy's checks."""
    since = time.monotonic()

    def has_held() -> bool:
        nonlocal since
        if not claim():
            since = time.monotonic()
        return time.monotonic() >= since + 1

    eventually(has_held, 60)


def both_up(port: int) -> bool:
    """Return whether HAProxy sees both replicas."""
    try:
        rows = [line.split(",") for line in client.get(port, "/stats;csv").text.splitlines()]
    except OSError:
        return False
    return [row[17] for row in rows if row[0] == "replicas" and row[1] in {"one", "two"}] == [
        "UP",
        "UP",
    ]


def listens(port: int) -> bool:
    try:
        return client.get(port, "/livez").text == ""
    except OSError:
        return False


@pytest.mark.parametrize("proxy", ["haproxy", "nginx"])
def test_a_rolling_restart_loses_no_request(proxy: str, tiny_model: Path, tmp_path: Path) -> None:
    arguments = ("--model-id", str(tiny_model), "--drain-seconds", "1", "--log-level", "error")
    replicas = [Server(*arguments), Server(*arguments)]
    one, two = (replica.port for replica in replicas)
    ready = both_up if proxy == "haproxy" else listens
    try:
        for replica in replicas:
            replica.wait_ready()
        with proxied(proxy, one, two, tmp_path) as port:
            await_steady(lambda: ready(port))
            with Load(port) as load:
                load.await_more()
                for place in list(range(2)) * ROUNDS:
                    replicas[place].signal()
                    output = replicas[place].output(60)
                    assert replicas[place].process.returncode == 0, output
                    load.await_more()
                    replicas[place] = Server(*arguments, port=replicas[place].port)
                    replicas[place].wait_ready()
                    await_steady(lambda: ready(port))
                    load.await_more()
            assert set(load.answers) == {"200"}, load.answers
    finally:
        for replica in replicas:
            replica.stop()
    print(f"{proxy}: {load.answers.total()} requests, none lost")  # noqa: T201  # a figure to keep
