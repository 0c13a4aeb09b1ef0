"""The program as a process: its exit codes and its output, and interrupted jobs."""

import json
import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from app.bulk import job, program
from tools import process, texts

ROWS = 5_000


@pytest.fixture
def command(tiny_model: Path, tmp_path: Path) -> list[str]:
    """Return the command of a job of some seconds over the tiny model."""
    path = tmp_path / "a.jsonl"
    with path.open("w") as file:
        for number, text in enumerate(texts.passages(ROWS, 60)):
            # Every hundredth line has no text.
            file.write(f"{json.dumps({'id': f'd{number}', 'text': text if number % 100 else 5})}\n")
    return [
        *(sys.executable, "-m", "app.bulk", str(path), "--output", str(tmp_path / "out")),
        *("--model-id", str(tiny_model), "--provider", "cpu", "--shard-rows", "128", "--resume"),
    ]


def require_complete(folder: Path) -> None:
    """Fail unless every row has a vector or was rejected, exactly once."""
    ids = pq.read_table(folder).column("id").to_pylist()
    assert ids == [f"d{number}" for number in range(ROWS) if number % 100]
    lines = [
        json.loads(line)
        for path in sorted((folder / "_rejected").iterdir())
        for line in path.read_text().splitlines()
    ]
    assert [one["number"] for one in lines] == list(range(0, ROWS, 100))


def ended(
    command: list[str], before: Callable[[], None] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=300, preexec_fn=before
    )


def parts(folder: Path) -> int:
    return len(list((folder / "_job").glob("part-*.json"))) if folder.exists() else 0


def test_a_terminated_job_keeps_its_results(command: list[str], tmp_path: Path) -> None:
    running = process.start(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    process.eventually(lambda: parts(tmp_path / "out") >= 2)
    running.send_signal(signal.SIGTERM)
    _, said = running.communicate(timeout=60)
    assert running.returncode == 128 + signal.SIGTERM
    assert said == b"Error: SIGTERM ended the job: --resume goes on\n"
    assert parts(tmp_path / "out") >= 2
    assert ended(command).returncode == 0
    require_complete(tmp_path / "out")


def test_a_disk_that_is_full_loses_nothing(command: list[str], tmp_path: Path) -> None:
    def small_files() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (9_000, 9_000))

    told = ended(command, small_files)
    assert told.returncode == 1
    assert told.stderr.startswith("Error: the output cannot be written: ")
    assert told.stderr.endswith(": --resume goes on\n")
    assert told.stderr.count("\n") == 1
    assert ended(command).returncode == 0
    require_complete(tmp_path / "out")


def test_two_jobs_on_one_output(command: list[str], tmp_path: Path) -> None:
    running = process.start(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    process.eventually(lambda: parts(tmp_path / "out") >= 1)
    running.send_signal(signal.SIGSTOP)
    told = ended(command)
    running.send_signal(signal.SIGCONT)
    assert running.wait(timeout=300) == 0
    assert told.returncode == 1
    expected = f"Error: --output {tmp_path / 'out'} is in use by another job: wait for it\n"
    assert told.stderr == expected
    require_complete(tmp_path / "out")


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        (lambda command: [*command, "--nonsense"], 2, "Error: unrecognized argument --nonsense\n"),
        (lambda command: [*command[:3], "/none.jsonl", *command[4:]], 1, "Error: /none.jsonl is not a file\n"),
        (lambda command: [*command[:5], "/proc/none", *command[6:]], 1,
         "Error: --output /proc/none cannot be written: No such file or directory\n"),
    ],
)  # fmt: skip
def test_one_clear_line(
    command: list[str], change: Callable[[list[str]], list[str]], code: int, said: str
) -> None:
    told = ended(change(command))
    assert told.returncode == code
    assert told.stderr.startswith(said)


def test_an_unforeseen_failure_has_a_code_and_a_last_line(
    command: list[str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("unforeseen")

    monkeypatch.setattr(job, "run", fail)
    assert program.main(command[3:], {}) == 1
    assert caplog.messages[-1] == "exiting with code 1: the job ended; --resume goes on"
