"""Child: a program of this project that runs as a process of its own, and what it tells."""

import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from export.progress import FAULT

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Ended:
    """What a program wrote where that was caught, and why it failed, if it did."""

    output: str
    fault: str | None


def run(command: Sequence[str], tell: Callable[[str], None], *, catch: bool = False) -> Ended:
    """Run a program to its end; what it writes to standard error is told line by line as it comes.

    Its standard output is ours, unless it is caught: that may be a few lines, which a pipe holds.
    """
    last = ""
    with subprocess.Popen(  # noqa: S603  # an interpreter of this project, and its own modules
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE if catch else None,
        stderr=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stderr is not None
        try:
            for line in filter(None, map(str.strip, child.stderr)):
                last = line
                if not line.startswith(FAULT):
                    tell(line)
            output = child.stdout.read() if child.stdout is not None else ""
        except BaseException:  # a signal
            child.terminate()
            raise
    if child.returncode == 0:
        return Ended(output, None)
    return Ended(output, last.removeprefix(FAULT) or f"it exited with {child.returncode}")
