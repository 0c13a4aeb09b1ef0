"""Progress: steps are numbered by their caller, in whichever process they run."""

import logging
import os
import pty
import sys
import termios
import time

import pytest

from app.proof.counting import LINE_SECONDS
from export import child
from export.progress import Steps, counted
from tools.process import ROOT, start


def test_steps_are_counted_as_they_begin(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "export")
    steps = Steps(3)
    steps.begin("reading")
    there = Steps.parse(str(steps))  # in another process
    there.begin("converting")
    steps.done = there.done
    steps.begin("publishing")
    assert caplog.messages == ["[1/3] reading", "[2/3] converting", "[3/3] publishing"]
    assert steps.seconds > 0


PROGRAM = """
import logging, sys
from export.progress import print_fault, print_lines

print_lines()
logging.getLogger("export.some").info("as it is")
logging.getLogger("another").info("not told")
logging.getLogger("another").warning("two\\nlines")
print_fault("no space left")
sys.exit(1)
"""


def test_warnings_and_the_reason_of_a_failure_are_marked() -> None:
    told: list[str] = []
    ended = child.run([sys.executable, "-c", PROGRAM], told.append, catch=True)
    assert ended.output == "as it is\nwarning: two\nwarning: lines\n"
    assert (ended.fault, told) == ("no space left", [])


def test_a_step_is_counted_in_lines_where_there_is_no_terminal(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO, "export")
    now = 0.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    with counted(20, "texts") as count:
        now += LINE_SECONDS
        count(5)
        count(15)
    assert caplog.messages == ["5 of 20 texts, about 15 s left"]


BAR = """
from export.progress import counted

with counted(4, "texts") as count:
    count(3)
"""


def test_a_step_has_a_bar_on_a_terminal() -> None:
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    try:
        process = start([sys.executable, "-c", BAR], cwd=ROOT, stdout=theirs)
        assert process.wait(120) == 0
        shown = os.read(ours, 65536).decode()
    finally:
        os.close(ours)
        os.close(theirs)
    assert "0/4" in shown
    assert "texts" in shown
