"""A server with a stalled log reader, whose output is one full pipe: it serves, and it ends."""

import contextlib
import http.client
import os
import re
import socket
import termios
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tools.process import Server, eventually, launch

LONG = "n" * 100_000
PATIENCE = 60.0  # seconds; a server that blocks on its log would exceed it


class Log:
    """A pipe that is full from the start, as a stalled collector leaves it."""

    def __init__(self) -> None:
        self.reading, self.writing = os.pipe()
        os.set_blocking(self.writing, False)
        self._filled = 0
        for size in (4096, 1):
            with contextlib.suppress(BlockingIOError):
                while True:
                    self._filled += os.write(self.writing, b"." * size)
        os.set_blocking(self.writing, True)  # the server shares it

    def read_until(self, words: str) -> str:
        """Return the server's output up to and including these words."""
        found = b""
        while words.encode() not in found:
            part = os.read(self.reading, 1 << 20)
            assert part, f"the server ended: {found[-1000:]!r}"
            filled, self._filled = self._filled, max(0, self._filled - len(part))
            found += part[filled:]
        return found.decode()

    def read_to_the_end(self) -> str:
        """Return the rest of the output of a server that has ended."""
        os.close(self.writing)
        self.writing = os.open(os.devnull, os.O_WRONLY)
        with open(self.reading, "rb", closefd=False) as pipe:
            return pipe.read()[self._filled :].decode()


@pytest.fixture
def log() -> Iterator[Log]:
    made = Log()
    yield made
    for number in (made.reading, made.writing):
        os.close(number)


@pytest.fixture
def start(tiny_model: Path, log: Log) -> Callable[..., Server]:
    """A function that starts a server that writes to the log, with a fault if one is named."""

    def one(*flags: str, fault: str = "") -> Server:
        arguments = [*([fault] if fault else []), "--model-id", str(tiny_model), *flags]
        module = "tools.faulty" if fault else "app"
        environment = {"RUN_TIMEOUT_SECONDS": "0.5"} if fault else {}
        server = Server(*arguments, environment=environment, log=log.writing, module=module)
        server.wait_ready(PATIENCE)
        return server

    return one


def ask(server: Server, path: str, content: object = None) -> tuple[int, str]:
    reply = server.get(path) if content is None else server.post(path, content)
    return reply.status, reply.text


def dropped(server: Server) -> int:
    found = re.search(
        r"^te_log_lines_dropped_total (\d+)$", ask(server, "/metrics")[1], re.MULTILINE
    )
    assert found is not None
    return int(found[1])


@pytest.mark.slow
def test_a_reader_that_resumes_gets_held_lines_and_the_number_of_missing_ones(
    start: Callable[..., Server], log: Log
) -> None:
    server = start()
    named = {"inputs": "the cat", "prompt_name": LONG}
    while dropped(server) < 5:
        for _ in range(100):
            assert ask(server, "/embed", named)[0] == 422
    assert ask(server, "/livez")[0] == 200
    assert ask(server, "/embed", {"inputs": "the cat"})[0] == 200
    lost = dropped(server)
    text = log.read_until("lines were dropped")
    lines = text.splitlines()
    assert f"WARN app.telemetry.logs: {lost} lines were dropped here" in lines[-1]
    assert " INFO app: model_id=" in lines[0]
    assert any(line.endswith(" INFO app.server: Ready") for line in lines)
    refused = [line for line in lines if " ERROR " in line]
    assert refused
    assert [line for line in refused if "nnn…" not in line or len(line) > 500] == []
    assert ask(server, "/embed", {"inputs": "the cat"})[0] == 200
    server.signal()
    assert server.process.wait(PATIENCE) == 0
    rest = log.read_to_the_end()
    assert rest.count("Success") == 1
    assert rest.splitlines()[-1].endswith("signal received, starting graceful shutdown")
    assert text.count("Success") == 0  # that line was dropped


def test_a_signal_ends_a_server_with_a_stalled_log_reader(start: Callable[..., Server]) -> None:
    server = start()
    assert ask(server, "/embed", {"inputs": "the cat"})[0] == 200
    server.signal()
    assert server.process.wait(PATIENCE) == 0


@pytest.mark.slow
def test_a_start_that_fails_ends_with_its_code(log: Log) -> None:
    starts = [
        launch(arguments, {"MODEL_ID": "m"}, output=log.writing)
        for arguments in (["--port", "none"], ["--model-id", "no/such", "--port", "0"])
    ]
    assert [one.wait(PATIENCE) for one in starts] == [2, 1]


@pytest.mark.slow
def test_a_model_that_cannot_work_ends_the_process(start: Callable[..., Server]) -> None:
    server = start(fault="worker-dies")
    assert ask(server, "/embed", {"inputs": "query"})[0] == 424
    assert server.process.wait(PATIENCE) == 3


@pytest.mark.slow
def test_the_watchdog_ends_the_process(start: Callable[..., Server]) -> None:
    server = start(fault="loop-hangs")
    with pytest.raises(http.client.RemoteDisconnected):
        ask(server, "/embed", {"inputs": "query"})
    assert server.process.wait(PATIENCE) == 3


@pytest.mark.slow
def test_the_last_watchdog_ends_the_process(start: Callable[..., Server]) -> None:
    server = start(fault="interpreter-hangs")
    with pytest.raises(http.client.RemoteDisconnected):
        ask(server, "/embed", {"inputs": "query"})
    assert server.process.wait(PATIENCE) == 1


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["", "loop-hangs", "interpreter-hangs"])
@pytest.mark.parametrize("kind", ["socket", "terminal"])
def test_no_other_reader_holds_it_up(tiny_model: Path, kind: str, fault: str) -> None:
    """The sockets of a journal, and a terminal that was paused with a key."""
    with contextlib.ExitStack() as stack:
        if kind == "socket":
            ours, _ = (stack.enter_context(one) for one in socket.socketpair())
            with contextlib.suppress(BlockingIOError):
                while True:
                    ours.send(b"." * 4096, socket.MSG_DONTWAIT)
            place = ours.fileno()
        else:
            master, place = os.openpty()
            stack.callback(os.close, master)
            stack.callback(os.close, place)
            termios.tcflow(place, termios.TCOOFF)
        arguments = [*([fault] if fault else []), "--model-id", str(tiny_model)]
        environment = {"RUN_TIMEOUT_SECONDS": "0.5"} if fault else {}
        module = "tools.faulty" if fault else "app"
        server = Server(*arguments, environment=environment, log=place, module=module)
        server.wait_ready(PATIENCE)
        assert ask(server, "/embed", {"inputs": "the cat"})[0] == 200
        if fault:
            with pytest.raises(http.client.RemoteDisconnected):
                ask(server, "/embed", {"inputs": "query"})
        else:
            server.signal()
        code = {"": 0, "loop-hangs": 3, "interpreter-hangs": 1}[fault]
        assert server.process.wait(PATIENCE) == code


@pytest.mark.slow
def test_a_shutdown_that_is_held_up_ends_with_its_code(start: Callable[..., Server]) -> None:
    server = start("--run-timeout-seconds", "60", "--shutdown-seconds", "0.5", fault="run-hangs")
    with server.connect() as connection:
        connection.sendall(
            b"POST /embed HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b'Content-Length: 18\r\n\r\n{"inputs":"query"}'
        )
        eventually(lambda: "te_permits_taken 1" in ask(server, "/metrics")[1], PATIENCE)
        server.signal()
        assert server.process.wait(PATIENCE) == 1
