"""A real supervisor: it restarts the service where a restart can help, and not otherwise."""

import contextlib
import http.client
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.support.snapshot import write_folder
from tools import client, process, tiny
from tools.process import ROOT, eventually, free_port

pytestmark = pytest.mark.slow

KILLS = 10
# Codes 1 and 2 mean never restart; 3 and every signal mean restart.
CONFIGURATION = """
[unix_http_server]
file={folder}/supervisor.sock
[rpcinterface:supervisor]
supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface
[supervisorctl]
serverurl=unix://{folder}/supervisor.sock
[supervisord]
nodaemon=true
user={user}
logfile={folder}/supervisord.log
pidfile={folder}/supervisord.pid
[program:service]
command={command}
directory={root}
environment=TMPDIR="{folder}/tmp",HF_HUB_OFFLINE="1"
autorestart=unexpected
exitcodes=0,1,2
startsecs=0
stopwaitsecs=30
redirect_stderr=true
stdout_logfile={folder}/service.log
"""


class Supervisor:
    """A supervisord that runs one service."""

    def __init__(self, folder: Path, *command: str) -> None:
        self.port = free_port()
        self.temporary = folder / "tmp"
        self.temporary.mkdir()
        self._configuration = folder / "supervisord.conf"
        whole = [sys.executable, "-m", *command, "--hostname", "127.0.0.1"]
        self._configuration.write_text(
            CONFIGURATION.format(
                folder=folder,
                root=ROOT,
                user=os.getuid(),
                command=" ".join([*whole, "--port", str(self.port)]),
            )
        )
        program = shutil.which("supervisord")
        assert program is not None, "install supervisor"
        self._process = process.start(
            [program, "-c", str(self._configuration)], stdout=subprocess.DEVNULL
        )

    def control(self, *words: str) -> str:
        """Return supervisorctl's answer."""
        command = ["supervisorctl", "-c", str(self._configuration), *words]
        return subprocess.run(command, capture_output=True, text=True).stdout

    def pid(self) -> int:
        """Return the pid of the service; 0 while there is none."""
        words = self.control("status", "service").replace(",", "").split()
        return int(words[3]) if words[1:3] == ["RUNNING", "pid"] else 0

    def await_another(self, before: int) -> int:
        """Wait for another pid of the service, and return it."""
        eventually(lambda: self.pid() not in {0, before}, 60, "the service is not started again")
        return self.pid()

    def await_port(self) -> None:
        """Wait until vectors are right."""
        eventually(lambda: ask(self.port, "cat") == "right", 60, "the service does not answer")

    def stop(self) -> None:
        self._process.terminate()  # killed, it would leave the service behind
        try:
            self._process.wait(60)
        finally:
            process.end(self._process)


@contextlib.contextmanager
def supervised(folder: Path, *command: str) -> Iterator[Supervisor]:
    supervisor = Supervisor(folder, *command)
    try:
        yield supervisor
    finally:
        supervisor.stop()


def ask(port: int, text: str) -> str:
    """Return the outcome of one request."""
    try:
        reply = client.post(port, "/embed", {"inputs": text})
    except (OSError, http.client.HTTPException):
        return "no answer"
    if reply.status != 200:
        return f"{reply.status}"
    expected = tiny.unit(tiny.reference(tiny.ids_of(text)))
    return "right" if np.allclose(reply.json, [expected], atol=1e-6) else "wrong"


@contextlib.contextmanager
def load(port: int, answers: Counter[str]) -> Iterator[None]:
    """Run four clients without a pause, except while there is no answer."""
    stop = threading.Event()

    def one(text: str) -> None:
        while not stop.is_set():
            answer = ask(port, text)
            answers[answer] += 1
            if answer == "no answer":
                stop.wait(0.05)

    texts = ("the cat", "dog", "the cat sat on the mat", "hello world")
    threads = [threading.Thread(target=one, args=(text,)) for text in texts]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_a_killed_service_comes_back_and_nothing_piles_up(tmp_path: Path) -> None:
    model = write_folder(tmp_path / "small")  # prepared in a temporary folder at each start
    dice = random.Random(5)
    answers: Counter[str] = Counter()
    arguments = ("app", "--model-id", str(model), "--dtype", "float32", "--log-level", "warn")
    with supervised(tmp_path, *arguments) as supervisor:
        supervisor.await_port()
        with load(supervisor.port, answers):
            pid = supervisor.pid()
            for _ in range(KILLS):
                # At any moment of a start, of the preparation, or of serving.
                time.sleep(dice.uniform(0, 4))
                os.kill(pid, signal.SIGKILL)
                pid = supervisor.await_another(pid)
            supervisor.await_port()
            before = answers["right"]
            eventually(lambda: answers["right"] >= before + 100)
        assert list(supervisor.temporary.iterdir()) == []
        assert supervisor.control("stop", "service") == "service: stopped\n"
    log = (tmp_path / "supervisord.log").read_text()
    assert log.count("terminated by SIGKILL; not expected") == KILLS
    assert "stopped: service (exit status 0)" in log
    assert set(answers) == {"right", "no answer"}
    print(f"{KILLS} kills: {answers}")  # noqa: T201  # a figure to keep


def test_a_service_that_cannot_work_any_more_is_started_again(
    tiny_model: Path, tmp_path: Path
) -> None:
    with supervised(tmp_path, "tools.faulty", "worker-dies", "--model-id", str(tiny_model)) as one:
        one.await_port()
        pid = one.pid()
        assert ask(one.port, "query") == "424"
        one.await_another(pid)
        one.await_port()
    assert "exited: service (exit status 3; not expected)" in (
        (tmp_path / "supervisord.log").read_text()
    )


@pytest.mark.parametrize(
    ("arguments", "code"), [(("--model-id", "no/such"), 1), (("--no-such-flag", "1"), 2)]
)
def test_a_service_that_can_never_start_is_left_alone(
    tmp_path: Path, arguments: tuple[str, ...], code: int
) -> None:
    with supervised(tmp_path, "app", *arguments) as supervisor:
        eventually(lambda: "EXITED" in supervisor.control("status", "service"), 60)
        log = (tmp_path / "supervisord.log").read_text()
        assert log.count("spawned: 'service'") == 1
        assert f"exited: service (exit status {code}; expected)" in log
