"""A bulk job that is killed again and again."""

import json
import random
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tools import process, texts

ROWS = 100_000  # more than are computed between the kills
KILLS = 20

pytestmark = pytest.mark.slow


def test_a_job_that_is_killed_at_any_moment_loses_and_repeats_nothing(
    tiny_model: Path, tmp_path: Path
) -> None:
    choose, path, out = random.Random(1), tmp_path / "a.jsonl", tmp_path / "out"
    with path.open("w") as file:
        for number, text in enumerate(texts.passages(ROWS, 60)):
            # Every hundredth line has no text.
            file.write(f"{json.dumps({'id': f'd{number}', 'text': text if number % 100 else 5})}\n")
    command = [
        *(sys.executable, "-m", "app.bulk", str(path), "--output", str(out), "--resume"),
        *("--model-id", str(tiny_model), "--provider", "cpu", "--shard-rows", "256"),
    ]
    parts = 0
    for _ in range(KILLS):
        running = process.start(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        process.eventually(partial(_has_parts, out, parts + choose.randrange(4)))
        time.sleep(choose.uniform(0, 0.2))
        running.kill()
        assert running.wait() == -signal.SIGKILL
        parts = _parts(out)
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr
    ids = pq.read_table(out).column("id").to_pylist()
    assert ids == [f"d{number}" for number in range(ROWS) if number % 100]
    rejected = [
        json.loads(line)["number"]
        for file in sorted((out / "_rejected").iterdir())
        for line in file.read_text().splitlines()
    ]
    assert rejected == list(range(0, ROWS, 100))


def _parts(folder: Path) -> int:
    return len(list(folder.glob("_job/part-*")))


def _has_parts(folder: Path, count: int) -> bool:
    return _parts(folder) >= count
