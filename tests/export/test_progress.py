"""Progress: steps are numbered by who runs them, in whichever process they are done."""

import logging
import sys

import pytest

from export import child
from export.progress import Steps


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


def test_what_warns_and_what_says_why_it_failed_is_marked() -> None:
    told: list[str] = []
    ended = child.run([sys.executable, "-c", PROGRAM], told.append, catch=True)
    assert ended.output == "as it is\nwarning: two\nwarning: lines\n"
    assert (ended.fault, told) == ("no space left", [])
