"""The bare session of the bench: the same graph in a process without a server."""

import statistics
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import cycle, islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from app.inference.providers.plan import Plan, ProviderRequest
from app.inference.providers.session import Session, plans
from app.inference.tokenizing.tokenization import Tokenization
from app.model.batch import TokenizedInput, collate, in_order
from app.model.manifest import Manifest
from app.model.names import SENTENCE_EMBEDDING, Dtype, Provider
from tools.bench.loads.texts import CHUNK
from tools.bench.rate import Rate

Group = Sequence[str]
Shape = tuple[int, int]  # rows × tokens
SHAPES: tuple[Shape, ...] = ((1, 16), (4, 16), (16, 8), (8, 32), (8, 128))
_ROWS = 16  # rows per batch: more bring nothing on a CPU
_RUNS = 5  # runs of a shape in a row


class Computed(NamedTuple):
    """The provider and precision of a server, and the folder of its model."""

    provider: Provider
    dtype: Dtype
    folder: Path

    @property
    def name(self) -> str:
        """Its name in the report."""
        return f"{self.provider} {self.dtype}"


class Bare:
    """The session of a server, fed by loops in this process; on all cores by default."""

    def __init__(self, kind: Computed, threads: int = 0) -> None:
        self._manifest = Manifest.read(kind.folder)
        self._tokenization = Tokenization.load(kind.folder, self._manifest)
        self._plan = _plan(kind, self._manifest, threads)
        self._session = Session.load(kind.folder, self._manifest, self._plan)
        self._limits = self._plan.limits(self._manifest.max_input_length, 16384)

    @property
    def callers(self) -> int:
        """The number of batches that a server runs at once."""
        return self._plan.run_threads

    @property
    def lone_callers(self) -> int:
        """The same for single queries."""
        return self._plan.run_threads + self._plan.single_input_threads

    def learn(self) -> None:
        """Run every shape once, where the provider prepares itself for each."""
        for shape in self._limits.shapes():
            self._timed(shape)

    def fits(self, text: str) -> bool:
        """Return whether a text fits without truncation."""
        return len(self._encoded([text])[0]) < self._manifest.max_input_length

    def batches(self, texts: Sequence[str], window: int = CHUNK) -> list[Group]:
        """Group texts by length, within chunks as long as a server's queue."""
        found: list[Group] = []
        for start in range(0, len(texts), window):
            chunk = texts[start : start + window]
            lengths = dict(zip(chunk, map(len, self._encoded(chunk)), strict=True))  # in tokens
            ordered = sorted(chunk, key=lambda text: lengths[text])
            most = replace(self._limits, max_rows=_ROWS)
            groups = in_order([lengths[text] for text in ordered], most)
            # Short and long ones alternate, since time may run out anywhere.
            found += _spread([ordered[rows] for rows in groups])
        return found

    def rate(self, groups: Iterable[Group], seconds: float, callers: int) -> Rate:
        """Run groups from several callers, for a time or to the end of the groups."""
        waiting = iter(list(groups))  # threads may share a list's iterator

        def work(_: int) -> list[tuple[int, float]]:
            found = []
            while (begun := time.perf_counter()) - started < seconds:
                group = next(waiting, None)
                if group is None:
                    break
                self._run(self._encoded(group))
                found.append((len(group), time.perf_counter() - begun))
            return found

        started, cpu_started = time.perf_counter(), time.process_time()
        with ThreadPoolExecutor(callers) as pool:
            runs = [run for found in pool.map(work, range(callers)) for run in found]
        wall, cpu = time.perf_counter() - started, time.process_time() - cpu_started
        median = statistics.median(latency for _, latency in runs)
        return Rate(sum(rows for rows, _ in runs), wall, cpu, median)

    def first_runs(self) -> dict[Shape, float]:
        """Return the seconds of each shape's first run, in a session that has run another shape."""
        self._timed((2, 12))
        return {shape: self._timed(shape) for shape in SHAPES}

    def repeated_runs(self) -> dict[Shape, list[float]]:
        """Return the seconds of a few consecutive runs of each shape."""
        runs = [(shape, self._timed(shape)) for _ in range(_RUNS) for shape in SHAPES]
        return {shape: [taken for each, taken in runs if each == shape] for shape in SHAPES}

    def _timed(self, shape: Shape) -> float:
        """Return the seconds of a run of made-up tokens; their values do not change the time."""
        rows, length = shape
        ids = np.fromiter(islice(cycle(range(1000, 1997)), rows * length), np.int64)
        ids %= self._manifest.vocabulary_size
        begun = time.perf_counter()
        self._run([TokenizedInput(row) for row in ids.reshape(shape)])
        return time.perf_counter() - begun

    def _encoded(self, group: Group) -> Sequence[TokenizedInput]:
        return self._tokenization.encode_now(group)

    def _run(self, inputs: Sequence[TokenizedInput]) -> None:
        padded = self._limits.padded(max(map(len, inputs)))
        batch = collate(inputs, self._manifest.padding, padded)
        self._session.run(batch, (SENTENCE_EMBEDDING,))


def _plan(kind: Computed, manifest: Manifest, threads: int) -> Plan:
    """Return the plan of that provider and precision."""
    wanted = ProviderRequest(kind.provider, kind.dtype, threads)
    return next(
        plan
        for plan in plans(wanted, manifest.task)
        if plan.compute_dtype == kind.dtype and plan.graph_in(manifest) is not None
    )


def _spread(groups: Sequence[Group]) -> Iterator[Group]:
    """The same groups, every second one first."""
    yield from groups[::2]
    yield from groups[1::2]
