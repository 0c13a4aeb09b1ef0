"""Last words: a process that must end says why, and waits for no reader."""

import subprocess
import sys

import pytest

from tools.process import ROOT


def ended(say: str) -> subprocess.CompletedProcess[str]:
    program = (
        "import threading\n"
        "from app.telemetry.last_words import leave\n"
        "threading.Thread(target=threading.Event().wait).start()\n"  # a thread that never ends
        f"leave(3, {say})"
    )
    command = [sys.executable, "-c", program]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)


def test_the_last_words_are_read_and_the_code_is_the_process_s() -> None:
    done = ended("lambda: print('lost')")
    assert (done.returncode, done.stdout) == (3, "lost\n")


@pytest.mark.parametrize("say", ["threading.Event().wait", "lambda: 1 / 0"])
def test_last_words_that_block_or_fail_delay_nothing(say: str) -> None:
    assert ended(say).returncode == 3
