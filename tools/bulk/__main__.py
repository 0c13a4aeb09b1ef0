"""`make bulk-bench`: the cost of a bulk job beside the bare session, and its memory.

The job reads ROWS different passages of up to WORDS words as JSON Lines and writes Parquet. It is
paused every ten seconds for four, in which the bare session computes groups of the same texts,
grouped by length as in a job, with the same graph and as many threads. Both tokenize.
For the default model the report also goes to `docs/bulk.md`.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import pyarrow.parquet as pq

from app.bulk import chunks
from app.inference.providers import machine
from app.model.lookup import repository
from app.model.names import Dtype, Provider
from export.source.default_model import DEFAULT_MODEL_ID
from tools import process
from tools.bench.bare import Bare, Computed
from tools.bench.report import insert
from tools.bulk.turns import Watched, in_turns, rate_of
from tools.texts import passages

if TYPE_CHECKING:
    from subprocess import Popen

COMMAND = "make bulk-bench"
PAGE = Path("docs/bulk.md")
POINTS = 8  # moments at which memory is shown


def main() -> int:
    """Measure, and print the report."""
    asked = _parser().parse_args()
    folder = repository.find(asked.model_id, None, Path("models"))
    if folder is None:
        sys.stderr.write(
            f"{asked.model_id} is not exported: make export MODEL_ID={asked.model_id}\n"
        )
        return 1
    with tempfile.TemporaryDirectory(dir=asked.scratch) as scratch:
        lines = list(_report(asked, folder, Path(scratch)))
    print("\n".join(lines))
    if asked.model_id == DEFAULT_MODEL_ID:
        insert(PAGE, lines, COMMAND)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.bulk")
    parser.add_argument("model_id", nargs="?", default=DEFAULT_MODEL_ID)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--words", type=int, default=16)
    parser.add_argument("--provider", choices=get_args(Provider), default="cpu")
    parser.add_argument("--dtype", choices=get_args(Dtype), default="int16")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=60.0, help="when the job is told to end")
    parser.add_argument("--scratch", type=Path, help="where the files go while it runs")
    return parser


def _report(asked: argparse.Namespace, folder: Path, scratch: Path) -> Iterator[str]:
    texts = passages(asked.rows, asked.words)
    bare = Bare(Computed(asked.provider, asked.dtype, folder), asked.threads)
    groups = bare.batches(texts, chunks.WINDOW * chunks.ROWS)
    start = in_turns(_job(asked, folder, scratch / "one", texts[:1]), bare, groups)
    job = in_turns(_job(asked, folder, scratch / "all", texts), bare, groups, asked.minutes)
    rows = sum(
        pq.read_metadata(one).num_rows for one in (scratch / "all" / "out").glob("*.parquet")
    )
    told = (
        ""
        if rows == asked.rows
        else f", of which it computed {rows:,} in {asked.minutes:g} minutes"
    )
    yield (
        f"{asked.model_id} on {machine.describe()}, {asked.provider} {asked.dtype}, --threads "
        f"{asked.threads}, {date.today():%d %B %Y}: {asked.rows:,} passages of 1 to {asked.words} "
        f"words{told}"
    )
    yield ""
    yield from _costs(rows, job, start)
    yield ""
    yield from _memory(job)


def _job(asked: argparse.Namespace, folder: Path, place: Path, texts: list[str]) -> "Popen[bytes]":
    """A job over these texts."""
    place.mkdir()
    source = place / "texts.jsonl"
    source.write_text("".join(f"{json.dumps({'text': one})}\n" for one in texts))
    return process.start(
        [
            *(sys.executable, "-m", "app.bulk", str(source), "--output", str(place / "out")),
            *("--model-id", str(folder), "--provider", asked.provider, "--dtype", asked.dtype),
            *("--threads", str(asked.threads)),
        ],
        cwd=process.ROOT,
        env=process.variables(),
    )


def _costs(rows: int, job: Watched, start: Watched) -> Iterator[str]:
    bare = rate_of(job)
    assert bare.cpu is not None
    yield "| what | texts | CPU seconds | texts a CPU-second | of the bare session's |"
    yield "|---|---|---|---|---|"
    for name, seconds in (
        ("the job", job.cpu_seconds - start.cpu_seconds),
        ("with its start and end", job.cpu_seconds),
    ):
        rate = rows / seconds
        yield f"| {name} | {rows:,} | {seconds:,.1f} | {rate:,.1f} | {rate / bare.cpu:.3f} |"
    yield f"| bare session | {bare.texts:,} | {bare.cpu_seconds:,.1f} | {bare.cpu:,.1f} | 1 |"


def _memory(job: Watched) -> Iterator[str]:
    """Return the memory at a few moments, evenly over the job's own time."""
    found = job.megabytes
    places = sorted({round(one * (len(found) - 1) / POINTS) for one in range(POINTS + 1)})
    yield f"Resident memory, taken every 10 seconds, {len(found)} times; at most {max(found):,.0f} MB:"
    yield ""
    yield f"| {' | '.join(f'{10 * (place + 1):,} s' for place in places)} |"
    yield f"|{'---|' * len(places)}"
    yield f"| {' | '.join(f'{found[place]:,.0f} MB' for place in places)} |"


if __name__ == "__main__":
    sys.exit(main())
