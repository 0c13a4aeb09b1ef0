"""The bare session of the bench: the same graph in a process that serves nobody."""

import statistics
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import cycle
from pathlib import Path
from typing import NamedTuple

from app.inference.providers.plan import ProviderRequest
from app.inference.providers.session import Session, plans
from app.inference.tokenizing.tokenization import Tokenization
from app.model.batch import TokenizedInput, collate, in_order
from app.model.manifest import Manifest
from app.model.names import SENTENCE_EMBEDDING, DtypeChoice
from tools.bench.rate import Rate

Group = Sequence[str]
_ROWS = 16  # of a batch: more bring nothing on a CPU
_GOLDEN = 0.618034  # multiples of it, without their integers, lie evenly wherever one stops


class Kind(NamedTuple):
    """A precision to serve, and the folder that has it."""

    dtype: DtypeChoice
    folder: Path


class Bare:
    """The session of one kind of service, fed by loops of this process."""

    def __init__(self, kind: Kind) -> None:
        self._manifest = Manifest.read(kind.folder)
        self._tokenization = Tokenization.load(kind.folder, self._manifest)
        every = plans(ProviderRequest(dtype=kind.dtype), self._manifest.task)
        self._plan = next(plan for plan in every if plan.graph_in(self._manifest) is not None)
        self._session = Session.load(kind.folder, self._manifest, self._plan)
        self._limits = self._plan.limits(self._manifest.max_input_length, 16384)
        self._seen: set[tuple[int, int]] = set()  # shapes

    def batches(self, texts: Sequence[str]) -> list[Group]:
        """Texts in groups of like length."""
        lengths = dict(zip(texts, map(len, self._encoded(texts)), strict=True))  # in tokens
        ordered = sorted(texts, key=lambda text: lengths[text])
        most = replace(self._limits, max_rows=_ROWS)
        found = in_order([lengths[text] for text in ordered], most)
        return [ordered[rows] for rows in found]

    def in_turn(self, groups: Sequence[Group]) -> Iterator[Group]:
        """The groups again and again, such that a few in a row are like all; each shape once before.

        A new shape costs some providers time.
        """
        for inputs in map(self._encoded, groups):
            shape = len(inputs), self._padded(inputs)
            if shape not in self._seen:
                self._seen.add(shape)
                self._run(inputs)
        spread = sorted(range(len(groups)), key=lambda place: place * _GOLDEN % 1)
        return cycle([groups[place] for place in spread])

    def rate(self, groups: Iterator[Group], seconds: float, callers: int | None = None) -> Rate:
        """Run what comes for a while; by as many callers as suit the provider, if not told."""

        def work(_: int) -> list[tuple[int, float]]:
            found = []
            while (begun := time.perf_counter()) - started < seconds:
                group = next(groups)
                self._run(self._encoded(group))
                found.append((len(group), time.perf_counter() - begun))
            return found

        callers = callers or self._plan.run_threads
        started, cpu_started = time.perf_counter(), time.process_time()
        with ThreadPoolExecutor(callers) as pool:
            runs = [run for found in pool.map(work, range(callers)) for run in found]
        wall, cpu = time.perf_counter() - started, time.process_time() - cpu_started
        median = statistics.median(latency for _, latency in runs)
        return Rate(sum(rows for rows, _ in runs), wall, cpu, median)

    def _encoded(self, group: Group) -> Sequence[TokenizedInput]:
        return self._tokenization.encode_now(group)

    def _padded(self, inputs: Sequence[TokenizedInput]) -> int:
        return self._limits.padded(max(map(len, inputs)))

    def _run(self, inputs: Sequence[TokenizedInput]) -> None:
        batch = collate(inputs, self._manifest.padding, self._padded(inputs))
        self._session.run(batch, (SENTENCE_EMBEDDING,))
