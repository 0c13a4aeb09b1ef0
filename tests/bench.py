"""`make bench`: the server beside the bare session and its peers, in one run.

First, that the vectors agree. Then texts a second of wall and of CPU time: short queries one by
one over 1, 8 and 32 connections, bulk requests of 32 passages over 4, and queries at a fixed rate
while bulk requests run, as a client sees them (latency counts from when a query was due); and
requests of 8, 64 and 512 passages, of which a text should cost the same. The bare session is the
limit: the same graph in this process, fed by a loop in the batches that suit it. Peers are
sentence-transformers and, where `--infinity` names the Python of its environment, infinity. The
load comes from `wrk`, which costs next to nothing. For the default model the report also goes to
`docs/performance.md`, with a picture beside it. `make bench-quick` leaves out what is not needed
to see whether a change helped.
"""

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from datetime import date
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.inference import machine, repository
from app.inference.manifest import Manifest
from export.default_model import DEFAULT_MODEL_ID, installed
from tests.bench_bare import Kind, bare
from tests.bench_infinity import THEIRS, infinity, missing, version
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
# Exported models; in the second place, with an int8 graph beside the float32 one.
MODELS, INT8_MODELS = Path("models"), Path(".bench-models")
MOST_CONNECTIONS = 32


def main(arguments: Sequence[str]) -> int:
    """Measure one exported model; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", allow_abbrev=False)
    parser.add_argument("model_id", metavar="MODEL_ID")
    parser.add_argument("--quick", action="store_true", help="only our server, for a minute")
    parser.add_argument("--infinity", type=Path, help="the Python of an environment that has it")
    options = parser.parse_args(arguments)
    folder = repository.find(options.model_id, None, MODELS)
    fault = None if options.infinity is None else missing(options.infinity)
    if shutil.which("wrk") is None:
        fault = "make bench needs wrk: apt-get install wrk"
    elif folder is None:
        fault = f"{options.model_id} is not exported: make export MODEL_ID={options.model_id}"
    if fault is not None or folder is None:
        sys.stderr.write(f"error: {fault}\n")
        return 1
    bench, lines = Bench(options.model_id, folder, options.quick), []
    for line in bench.report(options.infinity):
        print(line, flush=True)  # noqa: T201  # what it is for
        lines.append(line)
    if options.model_id == DEFAULT_MODEL_ID and not options.quick:
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

    def report(self, infinity_python: Path | None) -> Iterator[str]:
        """The lines of the report, each as soon as it is measured."""
        here = f"{machine.describe()}, {machine.usable_cores()} cores, {date.today():%d %B %Y}"
        yield f"{self.model_id} on {here}\n"
        original = installed() if self.model_id == DEFAULT_MODEL_ID and not self.quick else None
        reference = None if original is None else self.reference(original)
        seen = []
        for kind in self.kinds():
            with serving(str(kind.folder), kind.dtype) as (server, ready_seconds):
                info = get(server, "/info")
                name = f"{info['provider']} {info['model_dtype']}"
                if name in seen:
                    continue
                seen.append(name)
                yield f"\n**{name}**: {info['provider_reason']}; ready after {ready_seconds:.2f} s\n"
                yield from self.serve(server, name, kind, reference)
        if original is not None and reference is not None:
            name = "sentence-transformers, float32"
            yield f"\n**{name}**\n\n{HEAD}"
            yield self.row(name, "queries one by one", Rate(*reference["queries"]))
            yield self.row(name, "passages in batches of 32", Rate(*reference["bulk"]))
            if infinity_python is not None:
                yield from self.beside_infinity(infinity_python, original, reference, seen)

    def kinds(self) -> Iterator[Kind]:
        """What to serve: what is chosen by default, then the rest."""
        yield Kind("auto", self.folder)
        if self.quick:
            return
        yield Kind("float32", self.folder)
        for models in (MODELS, INT8_MODELS):
            folder = repository.find(self.model_id, None, models)
            if folder is not None and Manifest.read(folder).graph_for("cpu", "int8") is not None:
                yield Kind("int8", folder)
                return

    def row(self, kind: str, name: str, rate: Rate, limit: Rate | None = None) -> str:
        """One line of a table; it is kept for the picture."""
        self.rows.append(Row(kind, name, rate, limit))
        return str(self.rows[-1])

    def serve(
        self, server: Server, name: str, kind: Kind, reference: dict[str, Any] | None
    ) -> Iterator[str]:
        """One kind of service and the bare session beside it."""
        if reference is not None:
            served = [json.loads(post(server, {"inputs": text}))[0] for text in self.check]
            yield self.agreement(np.array(served), reference)
        started = resident_megabytes(server)
        single = bare(kind, self.queries, self.seconds, batched=False)
        batches = bare(kind, self.bulk, self.seconds, batched=True)
        yield "\n" + HEAD
        yield self.row(name, "bare session, queries one by one", single)
        yield self.row(name, "bare session, passages in batches", batches)
        for connections in (1, MOST_CONNECTIONS) if self.quick else (1, 8, MOST_CONNECTIONS):
            found = load(server, self.queries, 1, connections, self.seconds)
            yield self.row(name, over(connections), found, single)
        found = load(server, self.bulk, BULK_ROWS, 4, self.seconds)
        yield self.row(
            name, f"server, {BULK_ROWS} passages a request, 4 connections", found, batches
        )
        for rows in () if self.quick else MANY_ROWS:
            found = all_of(server, self.many, rows)
            yield self.row(
                name, f"server, {rows} passages a request, 2 connections", found, batches
            )
        yield f"\n{mixed(server, self.queries, self.bulk, self.seconds)}"
        yield f"resident {started:.0f} MB at the start, {resident_megabytes(server):.0f} MB now"

    def beside_infinity(
        self, python: Path, original: Path, reference: dict[str, Any], ours: Sequence[str]
    ) -> Iterator[str]:
        """The same load on infinity, and how many times as fast ours are."""
        name = f"infinity {version(python)}, torch, float32"
        with infinity(python, original) as server:
            yield f"\n**{name}**\n"
            yield self.agreement(server.vectors(self.check), reference)
            yield "\n" + HEAD
            for connections in (1, 8, MOST_CONNECTIONS):
                found = load(server, self.queries, 1, connections, self.seconds, THEIRS)
                yield self.row(name, over(connections), found)
            found = load(server, self.bulk, BULK_ROWS, 4, self.seconds, THEIRS)
            yield self.row(name, f"server, {BULK_ROWS} passages a request, 4 connections", found)
            yield f"\nresident {resident_megabytes(server):.0f} MB now\n"
        theirs = self.rate(name, over(MOST_CONNECTIONS))
        for kind in ours:
            found = self.rate(kind, over(MOST_CONNECTIONS))
            yield (
                f"- {kind}, queries over {MOST_CONNECTIONS} connections: "
                f"{found.wall / theirs.wall:.1f} times as many a second as infinity, "
                f"{found.cpu / theirs.cpu:.1f} times as many a CPU-second"
            )

    def rate(self, kind: str, name: str) -> Rate:
        """What was measured."""
        return next(row.rate for row in self.rows if (row.kind, row.name) == (kind, name))

    def agreement(self, vectors: NDArray[np.float64], reference: dict[str, Any]) -> str:
        """How close unit vectors of the texts to check come to sentence-transformers' own."""
        cosine = np.einsum("nd,nd->n", vectors, np.array(reference["vectors"])).min()
        return f"worst cosine to sentence-transformers over {len(self.check)} texts: {cosine:.7f}"

    @property
    def many(self) -> list[str]:
        """As many passages as the largest request and another one hold."""
        return list(islice(cycle(self.bulk), 2 * MANY_ROWS[-1]))

    @property
    def check(self) -> list[str]:
        """Texts of which the vectors must agree."""
        return [*self.queries[:100], *self.bulk[:50]]

    def reference(self, original: Path) -> dict[str, Any]:
        """What sentence-transformers says of the original checkpoint, and how fast."""
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


def over(connections: int) -> str:
    """The name of a row."""
    return f"server, queries, {connections} connection{'' if connections == 1 else 's'}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
