"""The lines of an export: numbered, and marked where they warn."""

import subprocess
import sys

from tools.process import ROOT

PROGRAM = """
import logging
from export import progress
progress.print_lines()
progress.announce(2, "converting")
progress.logger.warning("two\\nlines")
logging.getLogger("another library").info("unasked")
logging.getLogger("another library").warning("asked")
"""


def test_steps_are_numbered_and_every_line_of_a_warning_is_marked() -> None:
    told = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert told.stdout.splitlines() == [
        "[2/6] converting", "warning: two", "warning: lines", "warning: asked",
    ]  # fmt: skip
