"""Child: another program of this project, run as a subprocess whose lines are passed on."""

import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from export.progress import FAULT

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Ended:
    """The captured output of a program that has ended, and its error message if it failed."""

    output: str
    fault: str | None


def run(command: Sequence[str], tell: Callable[[str], None], *, catch: bool = False) -> Ended:
    """Run a program to its end, and pass each line of its standard error to `tell` as it comes.

    Its standard output is ours, or is captured with `catch`. Captured output is read only after
    the last line of standard error, so it must fit into a pipe.
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
        except BaseException:  # such as SystemExit from a signal handler
            child.terminate()
            raise
    if child.returncode == 0:
        return Ended(output, None)
    return Ended(output, last.removeprefix(FAULT) or f"it exited with {child.returncode}")
