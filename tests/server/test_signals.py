"""Signals: which of them end the service, at any moment, and which change nothing."""

import contextlib
import http.client
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.wire import client, embed
from tools.process import ROOT, Server, free_port, launch, start, variables, wait_open


@pytest.mark.usefixtures("without_nohup")
def test_a_terminal_that_closes_ends_the_service_and_loses_nothing(tiny_model: Path) -> None:
    running = Server("--model-id", str(tiny_model), "--drain-seconds", "1")
    running.wait_ready()
    with client(running) as connection:
        connection.request("GET", "/livez")
        assert connection.getresponse().read() == b""
        running.signal(signal.SIGHUP)
        running.wait_for("starting graceful shutdown")
        running.signal(signal.SIGHUP)  # a shell sends it too, where the kernel has not
        embed(connection)
    assert "second signal" not in running.output()
    assert running.process.returncode == 0


def test_signals_of_log_rotation_and_of_terminals_under_nohup_change_nothing(
    tiny_model: Path,
) -> None:
    port = free_port()
    command = ["nohup", sys.executable, "-m", "app", "--model-id", str(tiny_model)]
    running = start(
        [*command, "--port", str(port)],
        cwd=ROOT,
        env=variables(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    wait_open(port, running)
    for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP):
        running.send_signal(number)
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port)) as connection:
            embed(connection)
    running.send_signal(signal.SIGTERM)
    output, _ = running.communicate(timeout=300)
    assert running.returncode == 0
    assert output.count("Success") == 3


@pytest.mark.usefixtures("without_nohup")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_during_the_start_ends_the_process(
    tiny_model: Path, number: signal.Signals, code: int
) -> None:
    starting = launch(["--model-id", str(tiny_model), "--port", str(free_port())], {})
    assert starting.stdout is not None
    starting.stdout.readline()  # the settings; the model is loaded next
    for one in (signal.SIGUSR1, signal.SIGUSR2, number):
        starting.send_signal(one)
    starting.communicate(timeout=300)
    assert starting.returncode in {0, code}
