import contextlib
import subprocess
import sys

import pytest

from tools import process


def test_processes_of_a_failing_test_are_ended() -> None:
    with process.all_ended():
        earlier = process.start([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
        with contextlib.suppress(ZeroDivisionError), process.all_ended():
            own = process.start([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
            raise ZeroDivisionError
        assert own.returncode == -9
        assert own.stdin is not None
        assert own.stdin.closed
        assert earlier.poll() is None


def test_a_changed_path_keeps_ours_behind_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/ours")
    assert process.variables()["PYTHONPATH"] == "/ours"
    assert process.variables({"PYTHONPATH": "/theirs"})["PYTHONPATH"] == "/theirs:/ours"
    monkeypatch.delenv("PYTHONPATH")
    assert process.variables({"PYTHONPATH": "/theirs"})["PYTHONPATH"] == "/theirs"
    assert "PYTHONPATH" not in process.variables()
