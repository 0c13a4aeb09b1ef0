"""Child: the lines and the exit status of a program of this project."""

import os
import signal
import sys

import pytest

from export import child

TALKS = """
import sys
sys.stderr.write("warning: it is late\\n\\n  going on\\n")
print("found")
"""


def python(program: str) -> list[str]:
    return [sys.executable, "-c", program]


def test_its_lines_are_passed_on_and_its_output_is_captured() -> None:
    told: list[str] = []
    ended = child.run(python(TALKS), told.append, catch=True)
    assert told == ["warning: it is late", "going on"]
    assert ended == child.Ended("found\n", None)


def test_output_that_is_not_caught_is_ours(capfd: pytest.CaptureFixture[str]) -> None:
    assert child.run(python(TALKS), lambda _: None) == child.Ended("", None)
    assert capfd.readouterr().out == "found\n"


# Lines of a traceback: Python 3.13 shows the program given to `-c`.
TRACEBACK = 3 if sys.version_info < (3, 13) else 5


@pytest.mark.parametrize(
    ("program", "told", "fault"),
    [
        ("sys.stderr.write('going on\\nerror: no space left\\n'); sys.exit(1)", 1, "no space left"),
        ("raise ValueError('of a library')", TRACEBACK, "ValueError: of a library"),
        ("sys.exit(7)", 0, "it exited with 7"),
    ],
)
def test_its_last_words_say_why_it_failed(program: str, told: int, fault: str) -> None:
    lines: list[str] = []
    ended = child.run(python(f"import sys; {program}"), lines.append)
    assert ended.fault == fault
    assert len(lines) == told


def test_it_ends_with_us() -> None:
    ids: list[int] = []

    def interrupted(line: str) -> None:
        ids.append(int(line))
        raise KeyboardInterrupt

    waits = (
        "import os, signal, sys; print(os.getpid(), file=sys.stderr, flush=True); signal.pause()"
    )
    with pytest.raises(KeyboardInterrupt):
        child.run(python(waits), interrupted)
    with pytest.raises(ProcessLookupError):
        os.kill(ids[0], signal.SIGCONT)
