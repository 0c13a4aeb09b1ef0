"""The bulk bench over a tiny model: both sides are measured, and a failing job is an error."""

import sys
from pathlib import Path

import pytest

from tools import process
from tools.bench.bare import Bare, Computed
from tools.bulk import __main__ as program
from tools.bulk import turns
from tools.bulk.turns import in_turns

ROWS = 6_000


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turns, "JOB_SECONDS", 0.5)
    monkeypatch.setattr(turns, "BARE_SECONDS", 0.1)


@pytest.mark.slow
def test_a_job_and_the_bare_session_are_shown_side_by_side(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = [str(tiny_model), "--rows", str(ROWS), "--dtype", "float32"]
    monkeypatch.setattr(sys, "argv", ["bulk", *asked])
    assert program.main() == 0
    head, _, _, _, job, whole, bare, _, memory, *_ = capsys.readouterr().out.splitlines()
    assert head.startswith(f"{tiny_model} on ")
    assert head.endswith(f": {ROWS:,} passages of 1 to 16 words")
    assert job.startswith(f"| the job | {ROWS:,} | ")
    assert whole.startswith(f"| with its start and end | {ROWS:,} | ")
    assert bare.startswith("| bare session | ")
    assert bare.endswith(" | 1 |")
    assert "at most" in memory


def test_a_job_that_fails_is_no_measurement(tiny_model: Path) -> None:
    bare = Bare(Computed("cpu", "float32", tiny_model), 1)
    job = process.start([sys.executable, "-c", "raise SystemExit(7)"])
    with pytest.raises(RuntimeError, match="ended with code 7"):
        in_turns(job, bare, [["cat"]])


def test_a_model_that_is_not_there_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["bulk", "none/such"])
    assert program.main() == 1
    assert "make export MODEL_ID=none/such" in capsys.readouterr().err
