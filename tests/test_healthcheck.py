"""The image's health check, run against real servers through the command line of process 1."""

import contextlib
import socket
import struct
import subprocess
import sys
import threading
from pathlib import Path
from typing import Self

import pytest

from app import healthcheck
from app.healthcheck import main
from tools.process import ROOT, Server, free_port


def command_line(path: Path, *arguments: str) -> Path:
    file = path / "cmdline"
    file.write_bytes("".join(f"{word}\0" for word in ("python", "-m", "app", *arguments)).encode())
    return file


def test_a_server_is_found_at_the_port_of_its_flags(tiny_model: Path, tmp_path: Path) -> None:
    server = Server("--model-id", str(tiny_model))
    try:
        server.wait_ready()
        arguments = ("--model-id", "m", "--hostname", "127.0.0.1", "-p", str(server.port))
        assert main(command_line(tmp_path, *arguments)) == 0
    finally:
        server.stop()


def test_a_server_is_found_at_the_port_of_its_environment(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server("--model-id", str(tiny_model))
    try:
        server.wait_ready()
        monkeypatch.setenv("PORT", str(server.port))
        monkeypatch.setenv("MODEL_ID", "m")
        monkeypatch.delenv("HOSTNAME", raising=False)
        assert main(command_line(tmp_path)) == 0
    finally:
        server.stop()


def test_no_answer_is_no_health(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command_line(tmp_path, "--model-id", "m", "--port", str(free_port()))) == 1
    assert "Connection refused" in capsys.readouterr().err


class Peer:
    """A peer that answers one connection with given bytes, or not at all."""

    def __init__(self, answer: bytes | None, family: int = socket.AF_INET) -> None:
        self._answer = answer
        self._listening = socket.socket(family)
        self._listening.bind(("::1" if family == socket.AF_INET6 else "127.0.0.1", 0))
        self._listening.listen()
        self.port = self._listening.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)

    def _serve(self) -> None:
        connection, _ = self._listening.accept()
        with connection:
            connection.recv(65536)
            if self._answer is None:  # until the other side gives up
                connection.recv(1)
            elif not self._answer:  # a reset instead of a close
                linger = struct.pack("ii", 1, 0)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            else:
                connection.sendall(self._answer)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):  # no connection came
            socket.create_connection(self._listening.getsockname()[:2], 1).close()
        self._thread.join()
        self._listening.close()


def is_one_line(text: str) -> bool:
    return text.count("\n") == 1 and "Traceback" not in text and bool(text.strip())


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (b"", "ConnectionResetError: "),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "BadStatusLine: SSH-2.0-OpenSSH_9.6"),
        (b"HTTP/1.1 503 \r\ncontent-length: 0\r\n\r\n", "the service answers 503"),
        (b"HTTP/1.1 301 \r\nlocation: /\r\ncontent-length: 0\r\n\r\n", "answers 301"),
        (None, "TimeoutError: timed out"),
    ],
)
def test_whatever_a_peer_does_is_one_line(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    answer: bytes | None,
    told: str,
) -> None:
    monkeypatch.setattr(healthcheck, "TIMEOUT_SECONDS", 4.0 if answer is not None else 0.1)
    with Peer(answer) as peer:
        arguments = ("--hostname", "localhost", "--port", str(peer.port))
        monkeypatch.setattr(healthcheck, "resolved", lambda _: ["127.0.0.1"])
        assert main(command_line(tmp_path, *arguments)) == 1
    errors = capsys.readouterr().err
    assert is_one_line(errors)
    assert told in errors


@pytest.mark.parametrize("host", ["::", "::1", "[::1]"])
def test_an_ipv6_address_is_asked(
    tmp_path: Path, host: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with Peer(b"HTTP/1.1 200 \r\ncontent-length: 0\r\n\r\n", socket.AF_INET6) as peer:
        arguments = ("--hostname", host, "--port", str(peer.port))
        assert main(command_line(tmp_path, *arguments)) == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("environment", "arguments"),
    [
        ({"PORT": "tcp://10.0.0.1:80"}, []),
        ({"HOSTNAME": "nowhere.invalid"}, []),
        ({"MODEL_ID": "", "PORT": "x"}, []),
        ({"API_KEY": ""}, []),
        ({}, ["--no-such-option"]),
        ({}, ["--help"]),
        ({}, ["--port"]),
        ({"HOSTNAME": "a" * 300}, []),
    ],
)
def test_whatever_the_environment_holds_is_one_line(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    environment: dict[str, str],
    arguments: list[str],
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert main(command_line(tmp_path, *arguments)) == 1
    assert is_one_line(capsys.readouterr().err)


def test_a_process_1_that_cannot_be_read_is_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(tmp_path / "none") == 1
    assert is_one_line(capsys.readouterr().err)


def test_bytes_that_are_no_text_are_taken_as_they_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "cmdline"
    file.write_bytes(b"python\0-m\0app\0--model-id\0/m/\xff\0--port\0%d\0" % free_port())
    assert main(file) == 1
    assert "Connection refused" in capsys.readouterr().err


def test_a_check_loads_no_library() -> None:
    """A container runtime starts one every few seconds, beside the service on the same cores."""
    program = (
        "import sys; before = set(sys.modules); import app.healthcheck; "
        "print(*sorted({name.partition('.')[0] for name in set(sys.modules) - before}))"
    )
    process = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert set(process.stdout.split()) - sys.stdlib_module_names == {"app"}
