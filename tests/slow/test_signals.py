"""SIGTERM at any moment of a start, and under load, many times."""

import contextlib
import http.client
import json
import random
import signal
import subprocess
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tools.process import Server, eventually, free_port, launch

pytestmark = pytest.mark.slow

ROUNDS = 30
CLIENTS = 6
BODY = json.dumps({"inputs": ["the cat sat on the mat", "dog"]})


@dataclass
class Load:
    """Clients that ask over kept connections until there is no answer any more."""

    port: int
    asked: list[tuple[float, str]] = field(default_factory=list)  # when it had left, its outcome

    def run(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        with contextlib.closing(connection):
            while True:
                try:
                    connection.connect()
                    connection.request("POST", "/embed", BODY, {"content-type": "application/json"})
                except OSError:
                    return  # the port is closed
                while True:
                    left = time.monotonic()
                    try:
                        answer = connection.getresponse()
                        right = answer.status == 200 and len(json.loads(answer.read())) == 2
                    except (OSError, http.client.HTTPException) as error:
                        self.asked.append((left, repr(error)))
                        return
                    self.asked.append((left, "right" if right else str(answer.status)))
                    if answer.will_close:
                        break  # the server closes it: the next request opens another connection
                    try:
                        connection.request(
                            "POST", "/embed", BODY, {"content-type": "application/json"}
                        )
                    except OSError:
                        return


def test_no_request_is_lost_whenever_the_signal_comes(tiny_model: Path) -> None:
    dice = random.Random(20)
    answered, late = 0, 0
    for _ in range(ROUNDS):
        server = Server("--model-id", str(tiny_model), "--log-level", "warn")
        try:
            server.wait_ready()
            load = Load(server.port)
            threads = [threading.Thread(target=load.run) for _ in range(CLIENTS)]
            for thread in threads:
                thread.start()
            eventually(lambda: len(load.asked) >= 20)  # noqa: B023  # called here alone
            time.sleep(dice.uniform(0, 0.1))
            signalled = time.monotonic()
            server.signal(dice.choice([signal.SIGTERM, signal.SIGINT]))
            output = server.output(60)
            for thread in threads:
                thread.join()
        finally:
            server.stop()
        assert server.process.returncode == 0, output
        assert output == ""
        # A request after the signal may find no server; one that finds it is answered.
        lost = [came for left, came in load.asked if left < signalled and came != "right"]
        refused = [came for _, came in load.asked if came.isdigit()]
        assert (lost, refused) == ([], [])
        answered += sum(came == "right" for _, came in load.asked)
        late += sum(came != "right" for _, came in load.asked)
    print(f"{ROUNDS} rounds: {answered} answered, 0 lost, {late} came too late")  # noqa: T201


def test_a_signal_ends_a_start_at_any_moment(tiny_model: Path) -> None:
    codes: list[int] = []
    output = ""
    while "Ready" not in output:
        flags = ["--model-id", str(tiny_model), "--port", str(free_port())]
        starting = launch([*flags, "--hostname", "127.0.0.1"], {})
        time.sleep(0.1 * len(codes))
        starting.send_signal(signal.SIGTERM)
        try:
            output, _ = starting.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            starting.kill()
            raise
        assert "Traceback" not in output
        codes.append(starting.returncode)
    # By the signal itself until Python runs, then by our handler, then after a shutdown.
    assert set(codes) <= {-signal.SIGTERM, 128 + signal.SIGTERM, 0}
    assert codes.count(-signal.SIGTERM) < codes.count(128 + signal.SIGTERM)
    assert codes[-1] == 0
