"""`make bench`: the server beside the bare session and sentence-transformers, in one run.

First, that the vectors agree. Then texts a second of wall and of CPU time: short queries one by
one over 1, 8 and 32 connections, bulk requests of 32 passages over 4, and queries at a fixed rate
while bulk requests run, as a client sees them (latency counts from when a query was due); and
requests of 8, 64 and 512 passages, of which a text should cost the same. The bare session is the
limit: the same graph in this process, fed by a loop in the batches that suit it. The load comes
from `wrk`, which costs next to nothing. For the default model the report also goes to
`docs/performance.md`, with a picture beside it. `make bench-quick` leaves out what is not needed
to see whether a change helped.
"""

import json
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.inference import machine, repository
from app.inference.batch import collate, in_order
from app.inference.manifest import SENTENCE_EMBEDDING, Manifest
from app.inference.providers import DtypeChoice, Wanted
from app.inference.session import Session, plans
from app.inference.tokenization import Tokenization
from export.default_model import DEFAULT_MODEL_ID, installed
from tests.bench_load import (
    BULK_ROWS,
    MANY_ROWS,
    Rate,
    all_of,
    get,
    load,
    mixed,
    post,
    resident_megabytes,
    serving,
)
from tests.bench_report import HEAD, Row, draw, insert
from tests.process import Server
from tests.texts import passages

SECONDS, QUICK_SECONDS = 8, 3
PAGE = Path("docs/performance.md")
PICTURE = PAGE.with_name("bench")


def main(arguments: Sequence[str]) -> int:
    """Measure one exported model; the exit code."""
    quick = "--quick" in arguments
    model_id = next(one for one in arguments if not one.startswith("--"))
    if shutil.which("wrk") is None:
        print("make bench needs wrk: apt-get install wrk", file=sys.stderr)  # noqa: T201
        return 1
    folder = repository.find(model_id, None, Path("models"))
    if folder is None:
        print(f"{model_id} is not exported: make export MODEL_ID={model_id}", file=sys.stderr)  # noqa: T201
        return 1
    bench, lines = Bench(model_id, folder, quick), []
    for line in bench.report():
        print(line, flush=True)  # noqa: T201  # what it is for
        lines.append(line)
    if model_id == DEFAULT_MODEL_ID and not quick:
        draw(bench.rows, lines[0].strip(), PICTURE)
        insert(PAGE, [*lines, f"\n![Texts a CPU-second, side by side]({PICTURE.name}.svg)"])
    return 0


class Bench:
    """One run over one model."""

    def __init__(self, model_id: str, folder: Path, quick: bool) -> None:
        self.model_id = model_id
        self.folder = folder
        self.quick = quick
        self.rows: list[Row] = []  # measured so far
        self.seconds = QUICK_SECONDS if quick else SECONDS
        self.queries = passages(400, longest_words=25, seed=1)[:300]
        self.bulk = [
            one for one in passages(900, longest_words=120, seed=2) if one.count(" ") >= 60
        ]

    def report(self) -> Iterator[str]:
        """The lines of the report, each as soon as it is measured."""
        here = f"{machine.describe()}, {machine.usable_cores()} cores, {date.today():%d %B %Y}"
        yield f"{self.model_id} on {here}\n"
        reference = None if self.quick else self.reference()
        dtypes: tuple[DtypeChoice, ...] = ("auto",) if self.quick else ("auto", "float32")
        seen = set()
        for dtype in dtypes:
            with serving(self.model_id, dtype) as (server, ready_seconds):
                info = get(server, "/info")
                kind = f"{info['provider']} {info['model_dtype']}"
                if kind in seen:
                    continue
                seen.add(kind)
                yield f"\n**{kind}**: {info['provider_reason']}; ready after {ready_seconds:.2f} s\n"
                yield from self.serve(server, kind, dtype, reference)
        if reference is not None:
            kind = "sentence-transformers, float32"
            yield f"\n**{kind}**\n\n{HEAD}"
            yield self.row(kind, "queries one by one", Rate(*reference["queries"]))
            yield self.row(kind, "passages in batches of 32", Rate(*reference["bulk"]))

    def row(self, kind: str, name: str, rate: Rate, limit: Rate | None = None) -> str:
        """One line of a table; it is kept for the picture."""
        self.rows.append(Row(kind, name, rate, limit))
        return str(self.rows[-1])

    def serve(
        self, server: Server, kind: str, dtype: DtypeChoice, reference: dict[str, Any] | None
    ) -> Iterator[str]:
        """One kind of service and the bare session beside it."""
        if reference is not None:
            cosine = worst_cosine(server, self.check, np.array(reference["vectors"]))
            yield f"worst cosine to sentence-transformers over {len(self.check)} texts: {cosine:.7f}"
        started = resident_megabytes(server)
        single = bare(self.folder, dtype, self.queries, self.seconds, batched=False)
        batches = bare(self.folder, dtype, self.bulk, self.seconds, batched=True)
        yield "\n" + HEAD
        yield self.row(kind, "bare session, queries one by one", single)
        yield self.row(kind, "bare session, passages in batches", batches)
        for connections in (1, 32) if self.quick else (1, 8, 32):
            found = load(server, self.queries, 1, connections, self.seconds)
            plural = "" if connections == 1 else "s"
            yield self.row(
                kind, f"server, queries, {connections} connection{plural}", found, single
            )
        found = load(server, self.bulk, BULK_ROWS, 4, self.seconds)
        name = f"server, {BULK_ROWS} passages a request, 4 connections"
        yield self.row(kind, name, found, batches)
        for rows in () if self.quick else MANY_ROWS:
            found = all_of(server, self.many, rows)
            name = f"server, {rows} passages a request, 2 connections"
            yield self.row(kind, name, found, batches)
        yield f"\n{mixed(server, self.queries, self.bulk, self.seconds)}"
        yield f"resident {started:.0f} MB at the start, {resident_megabytes(server):.0f} MB now"

    @property
    def many(self) -> list[str]:
        """As many passages as the largest request and another one hold."""
        return list(islice(cycle(self.bulk), 2 * MANY_ROWS[-1]))

    @property
    def check(self) -> list[str]:
        """Texts of which the vectors must agree."""
        return [*self.queries[:100], *self.bulk[:50]]

    def reference(self) -> dict[str, Any] | None:
        """What sentence-transformers says, where the original checkpoint is at hand."""
        original = installed() if self.model_id == DEFAULT_MODEL_ID else None
        if original is None:
            return None
        asked = {
            "folder": str(original),
            "seconds": self.seconds,
            "check": self.check,
            "queries": self.queries,
            "bulk": self.bulk,
        }
        child = subprocess.run(
            [sys.executable, "-m", "tests.bench_reference"],
            input=json.dumps(asked), capture_output=True, text=True, check=True,
        )  # fmt: skip
        found: dict[str, Any] = json.loads(child.stdout)
        return found


def worst_cosine(server: Server, texts: Sequence[str], expected: NDArray[np.float64]) -> float:
    """Of what is served, alone, to the reference's unit vectors."""
    served = [json.loads(post(server, {"inputs": text}))[0] for text in texts]
    return float(np.einsum("nd,nd->n", np.array(served), expected).min())


def bare(
    folder: Path, dtype: DtypeChoice, texts: Sequence[str], seconds: float, *, batched: bool
) -> Rate:
    """Tokenize and run in this process, one by one or in batches of like length, on each core."""
    manifest = Manifest.read(folder)
    tokenization = Tokenization.load(folder, manifest)
    plan = plans(Wanted(dtype=dtype), manifest.task)[0]
    session = Session.load(folder, manifest, plan)
    limits = plan.limits(manifest.max_input_length, 16384)
    ordered = sorted(texts, key=len) if batched else list(texts)
    lengths = list(map(len, tokenization.encode_now(ordered)))
    most = replace(limits, max_rows=16 if batched else 1)
    groups = [ordered[rows] for rows in in_order(lengths, most)]

    def run(group: Sequence[str]) -> int:
        inputs = tokenization.encode_now(group)
        length = limits.padded(max(map(len, inputs)))
        session.run(collate(inputs, manifest.padding, length), (SENTENCE_EMBEDDING,))
        return len(group)

    def work(first: int) -> int:
        mine, count = cycle(groups[first :: plan.run_threads]), 0
        while time.perf_counter() - started < seconds:
            count += run(next(mine))
        return count

    for group in groups:  # every shape once
        run(group)
    random.Random(3).shuffle(groups)
    started, cpu_started = time.perf_counter(), time.process_time()
    with ThreadPoolExecutor(plan.run_threads) as pool:
        count = sum(pool.map(work, range(plan.run_threads)))
    wall, cpu = time.perf_counter() - started, time.process_time() - cpu_started
    return Rate(count / wall, count / cpu)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
