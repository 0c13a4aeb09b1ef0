"""A soak of the real model, and one of a server with a leak, which it must find."""

import subprocess
import sys

import pytest

from tools.process import ROOT

pytestmark = pytest.mark.slow


def soak(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tools.soak", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_the_server_passes_a_soak() -> None:
    done = soak("--minutes", "5")
    print(done.stdout)  # noqa: T201  # figures to keep
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_leak_is_found() -> None:
    done = soak("--minutes", "1", "--fault", "leaks")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "FAILED: memory leaks" in done.stdout
