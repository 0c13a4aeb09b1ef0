"""The image's health check, run against real servers through the command line of process 1."""

from pathlib import Path

import pytest

from app.healthcheck import main
from tests.process import Server, free_port


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
