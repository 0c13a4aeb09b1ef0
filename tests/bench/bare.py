"""The bare session of the bench: the same graph in a process that serves nobody."""

import random
import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import cycle
from pathlib import Path
from typing import NamedTuple

from app.inference.batch import TokenizedInput, collate, in_order
from app.inference.manifest import SENTENCE_EMBEDDING, Manifest
from app.inference.plan import DtypeChoice, Wanted
from app.inference.session import Session, plans
from app.inference.tokenization import Tokenization
from tests.bench.rate import Rate

Group = Sequence[str]
_ROWS = 16  # of a batch: more bring nothing on a CPU


class Kind(NamedTuple):
    """A precision to serve, and the folder that has it."""

    dtype: DtypeChoice
    folder: Path


class Bare:
    """The session of one kind of service, fed by loops of this process."""

    def __init__(self, kind: Kind) -> None:
        self._manifest = Manifest.read(kind.folder)
        self._tokenization = Tokenization.load(kind.folder, self._manifest)
        self._plan = plans(Wanted(dtype=kind.dtype), self._manifest.task)[0]
        self._session = Session.load(kind.folder, self._manifest, self._plan)
        self._limits = self._plan.limits(self._manifest.max_input_length, 16384)
        self._seen: set[tuple[int, int]] = set()  # shapes

    def batches(self, texts: Sequence[str]) -> list[Group]:
        """Texts in groups of like length."""
        ordered = sorted(texts, key=len)
        lengths = list(map(len, self._tokenization.encode_now(ordered)))
        most = replace(self._limits, max_rows=_ROWS)
        return [ordered[rows] for rows in in_order(lengths, most)]

    def rate(self, groups: Sequence[Group], seconds: float, callers: int | None = None) -> Rate:
        """Run groups in turn for a while; by as many callers as suit the provider, if not told."""

        def work(first: int) -> list[tuple[int, float]]:
            mine, found = cycle(shuffled[first::callers]), []
            while (begun := time.perf_counter()) - started < seconds:
                group = next(mine)
                self._run(self._encoded(group))
                found.append((len(group), time.perf_counter() - begun))
            return found

        callers = callers or self._plan.run_threads
        self._warm(groups)
        shuffled = random.Random(3).sample(groups, len(groups))
        started, cpu_started = time.perf_counter(), time.process_time()
        with ThreadPoolExecutor(callers) as pool:
            runs = [run for found in pool.map(work, range(callers)) for run in found]
        wall, cpu = time.perf_counter() - started, time.process_time() - cpu_started
        median = statistics.median(latency for _, latency in runs)
        return Rate(sum(rows for rows, _ in runs), wall, cpu, median)

    def _warm(self, groups: Sequence[Group]) -> None:
        """Run each shape once: a new one costs some providers time."""
        for inputs in map(self._encoded, groups):
            shape = len(inputs), self._padded(inputs)
            if shape not in self._seen:
                self._seen.add(shape)
                self._run(inputs)

    def _encoded(self, group: Group) -> Sequence[TokenizedInput]:
        return self._tokenization.encode_now(group)

    def _padded(self, inputs: Sequence[TokenizedInput]) -> int:
        return self._limits.padded(max(map(len, inputs)))

    def _run(self, inputs: Sequence[TokenizedInput]) -> None:
        batch = collate(inputs, self._manifest.padding, self._padded(inputs))
        self._session.run(batch, (SENTENCE_EMBEDDING,))
