"""One run of the bench over one model: what is measured, beside what, and the lines that say so."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.inference.providers import machine
from app.model.lookup import repository
from app.model.manifest import Manifest
from export.source.default_model import DEFAULT_MODEL_ID, installed
from tools.bench.bare import Bare, Kind
from tools.bench.infinity import THEIRS, infinity, version
from tools.bench.load import (
    BULK_CONNECTIONS,
    BULK_ROWS,
    MANY_ROWS,
    all_of,
    get,
    load,
    mixed,
    post,
    resident_megabytes,
    serving,
)
from tools.bench.rate import Rate, together
from tools.bench.report import HEAD, Row
from tools.process import Server
from tools.texts import passages

SECONDS, QUICK_SECONDS = 8, 4
# Exported models; in the second place, with an int8 graph beside the float32 one.
MODELS, INT8_MODELS = Path("models"), Path(".bench-models")
CONNECTIONS = (1, 8, 32)
ALONE, QUERIES, PASSAGES = "queries, one caller", "queries one by one", "passages in batches"


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
        """One kind of service, taking turns with the bare session."""
        if reference is not None:
            served = [json.loads(post(server, {"inputs": text}))[0] for text in self.check]
            yield self.agreement(np.array(served), reference)
        started = resident_megabytes(server)
        turns = Turns(Bare(kind), self.queries, self.bulk, self.seconds / 4)
        yield "\n" + HEAD
        for connections in CONNECTIONS[:: 2 if self.quick else 1]:
            part = partial(load, server, self.queries, connections, self.seconds / 2)
            found, limit = turns.take(ALONE if connections == 1 else QUERIES, part, part)
            yield self.row(name, over(connections), found, limit)
        for rows in (BULK_ROWS,) if self.quick else (BULK_ROWS, *MANY_ROWS):
            connections = BULK_CONNECTIONS if rows == BULK_ROWS else 2
            texts = self.many(rows * connections * max(1, 64 // rows))
            found, limit = turns.take(PASSAGES, partial(all_of, server, texts, rows, connections))
            yield self.row(name, in_bulk(rows, connections), found, limit)
        for what, limit in turns.limits().items():
            yield self.row(name, f"bare session, {what}", limit)
        lone = self.rate(name, over(1)).median, turns.limits()[ALONE].median
        assert lone[0] is not None
        assert lone[1] is not None
        yield f"\na lone query takes {1000 * (lone[0] - lone[1]):.2f} ms longer than the bare session"
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
            for connections in CONNECTIONS:
                found = load(server, self.queries, connections, self.seconds, THEIRS)
                yield self.row(name, over(connections), found)
            texts = self.many(BULK_ROWS * BULK_CONNECTIONS * 2)
            found = all_of(server, texts, BULK_ROWS, BULK_CONNECTIONS, THEIRS)
            yield self.row(name, in_bulk(BULK_ROWS, BULK_CONNECTIONS), found)
            yield f"\nresident {resident_megabytes(server):.0f} MB now\n"
        theirs = self.rate(name, over(CONNECTIONS[-1]))
        for kind in ours:
            found = self.rate(kind, over(CONNECTIONS[-1]))
            yield (
                f"- {kind}, queries over {CONNECTIONS[-1]} connections: "
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

    def many(self, count: int) -> list[str]:
        """So many passages."""
        return list(islice(cycle(self.bulk), count))

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
            [sys.executable, "-m", "tools.bench.reference"],
            input=json.dumps(asked), capture_output=True, text=True, check=True,
        )  # fmt: skip
        found: dict[str, Any] = json.loads(child.stdout)
        return found


class Turns:
    """The bare session, measured before and after each part of what it is the limit of."""

    def __init__(
        self, bare: Bare, queries: Sequence[str], bulk: Sequence[str], seconds: float
    ) -> None:
        lone = [[text] for text in queries]
        self._measure: dict[str, Callable[[], Rate]] = {
            ALONE: partial(bare.rate, bare.in_turn(lone), seconds, callers=1),
            QUERIES: partial(bare.rate, bare.in_turn(lone), seconds),
            # Batches differ more, so it takes longer to have seen enough of them.
            PASSAGES: partial(bare.rate, bare.in_turn(bare.batches(bulk)), 2 * seconds),
        }
        self._found: dict[str, list[Rate]] = {what: [] for what in self._measure}

    def take(self, what: str, *parts: Callable[[], Rate]) -> tuple[Rate, Rate]:
        """The rate over all parts, and the limit's meanwhile."""
        limits, found = [self._measure[what]()], []
        for part in parts:
            found.append(part())
            limits.append(self._measure[what]())
        self._found[what] += limits
        return together(found), together(limits)

    def limits(self) -> dict[str, Rate]:
        """What the bare session did all in all."""
        return {what: together(rates) for what, rates in self._found.items() if rates}


def over(connections: int) -> str:
    """The name of a row."""
    return f"server, queries, {connections} connection{'' if connections == 1 else 's'}"


def in_bulk(rows: int, connections: int) -> str:
    """The name of a row."""
    return f"server, {rows} passages a request, {connections} connections"
