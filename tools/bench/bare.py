"""The bare session of the bench: the same graph in a process that serves nobody."""

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
_ROWS = 16  # of a batch: more bring nothing on a CPU
_RUNS = 5  # of a shape at a time


class Computed(NamedTuple):
    """What a server computes in, and the folder that has it."""

    provider: Provider
    dtype: Dtype
    folder: Path

    @property
    def name(self) -> str:
        """What it is called in the report."""
        return f"{self.provider} {self.dtype}"


class Bare:
    """The session that a server has, fed by loops of this process; all cores if not told."""

    def __init__(self, kind: Computed, threads: int = 0) -> None:
        self._manifest = Manifest.read(kind.folder)
        self._tokenization = Tokenization.load(kind.folder, self._manifest)
        self._plan = _plan(kind, self._manifest, threads)
        self._session = Session.load(kind.folder, self._manifest, self._plan)
        self._limits = self._plan.limits(self._manifest.max_input_length, 16384)

    @property
    def callers(self) -> int:
        """How many batches a server runs at a time."""
        return self._plan.run_threads

    @property
    def lone_callers(self) -> int:
        """The same of single queries."""
        return self._plan.run_threads + self._plan.single_input_threads

    def learn(self) -> None:
        """Run every shape once, where the provider prepares itself for each."""
        for shape in self._limits.shapes():
            self._timed(shape)

    def fits(self, text: str) -> bool:
        """Whether nothing of a text is cut off."""
        return len(self._encoded([text])[0]) < self._manifest.max_input_length

    def batches(self, texts: Sequence[str], window: int = CHUNK) -> list[Group]:
        """Texts in groups of like length, out of so many at a time as may wait for a server."""
        found: list[Group] = []
        for start in range(0, len(texts), window):
            chunk = texts[start : start + window]
            lengths = dict(zip(chunk, map(len, self._encoded(chunk)), strict=True))  # in tokens
            ordered = sorted(chunk, key=lambda text: lengths[text])
            most = replace(self._limits, max_rows=_ROWS)
            groups = in_order([lengths[text] for text in ordered], most)
            # Short and long ones by turns, for the time may end anywhere.
            found += _spread([ordered[rows] for rows in groups])
        return found

    def rate(self, groups: Iterable[Group], seconds: float, callers: int) -> Rate:
        """Run groups for a while, or to their end, by so many callers."""
        waiting = iter(list(groups))  # of a list, which threads may share

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
        """Seconds of the first run of each shape; of a session that has run another."""
        self._timed((2, 12))
        return {shape: self._timed(shape) for shape in SHAPES}

    def repeated_runs(self) -> dict[Shape, list[float]]:
        """Seconds of a few runs of each shape, one after the other."""
        runs = [(shape, self._timed(shape)) for _ in range(_RUNS) for shape in SHAPES]
        return {shape: [taken for each, taken in runs if each == shape] for shape in SHAPES}

    def _timed(self, shape: Shape) -> float:
        """Seconds of a run of made-up tokens, of which the text does not matter to the time."""
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
    """The plan of that provider and precision."""
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
