"""Runner: a thread that computes one batch at a time, and reports what became of it."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from app.inference.batching.job import Job
from app.inference.providers import priority
from app.model.batch import Batch, BatchLimits, Results, Runs, collate, require_rows
from app.model.parts import Padding


class EndableRuns(Runs, Protocol):
    """A session whose runs can be told to end."""

    def terminate(self, thread: int) -> None:
        """Let the run that this thread waits for fail soon; from any thread."""


@dataclass(slots=True)
class Search:
    """How the parts of one failed batch fare, while the inputs at fault are looked for."""

    limit: int  # failures in a row after which the session is asked whether it still works
    failures: int = 0


@dataclass(slots=True, eq=False)
class Run:
    """Rows that are computed together; the worker's, but for its constants."""

    rows: Sequence[tuple[Job, int]]  # with the input's position in its job
    outputs: Sequence[str]
    search: Search
    length: int = 0  # that rows are padded to, if they are not longer
    batch: Batch | None = None  # in place of rows: what nobody asked for
    is_spare: bool = False  # for a shape to be learned; nothing depends on what becomes of it
    deadline: float = 0.0  # by time.monotonic()
    overdue: bool = False  # its deadline passed, its jobs failed, and it was told to end

    @classmethod
    def of(cls, rows: Sequence[tuple[Job, int]], search: Search, limits: BatchLimits) -> Self:
        """A run of the union of what its rows need, padded to a length that the provider knows."""
        length = limits.padded(max(len(job.inputs[index]) for job, index in rows))
        return cls(rows, tuple(dict.fromkeys(job.output for job, _ in rows)), search, length)

    @property
    def shape(self) -> tuple[int, int]:
        """How many rows it has, and how long each is with its padding."""
        if self.batch is None:
            return len(self.rows), self.length
        rows, length = self.batch.input_ids.shape
        return rows, length

    @property
    def is_lone(self) -> bool:
        """Whether it holds nothing but inputs that came alone."""
        return all(job.is_lone for job, _ in self.rows)


@dataclass(frozen=True, slots=True)
class Finished:
    """What became of a run."""

    runner: "Runner"
    run: Run
    results: Results
    attention_mask: NDArray[np.int64] | None  # (B, S) of the batch
    error: BaseException | None
    started: float
    seconds: float


@dataclass(slots=True, eq=False)
class Runner:
    """Computes what it is handed; decides nothing. A run that fails in any way is reported."""

    session: EndableRuns
    padding: Padding
    report: Callable[[Finished], None]
    _runs: "SimpleQueue[Run | None]" = field(default_factory=SimpleQueue)
    _thread: threading.Thread | None = None

    def start(self, name: str) -> None:
        """Start the thread; once."""
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def compute(self, run: Run) -> None:
        """Take a run; one at a time."""
        self._runs.put(run)

    def terminate(self) -> None:
        """Let the run that it computes fail soon."""
        if self._thread is not None and self._thread.ident is not None:
            self.session.terminate(self._thread.ident)

    def end(self) -> None:
        """End the thread, after what it was handed."""
        self._runs.put(None)

    def _work(self) -> None:
        priority.give_way()
        while (run := self._runs.get()) is not None:
            self.report(self._outcome(run))

    def _outcome(self, run: Run) -> Finished:
        started = time.perf_counter()
        results: Results = {}
        mask: NDArray[np.int64] | None = None
        error: BaseException | None = None
        try:
            batch = run.batch or self._collated(run)
            mask = batch.attention_mask
            results = self.session.run(batch, run.outputs)
            require_rows(results, run.outputs, batch)
        except BaseException as caught:  # noqa: BLE001  # whatever it is, its jobs must hear
            error = caught
        return Finished(self, run, results, mask, error, started, time.perf_counter() - started)

    def _collated(self, run: Run) -> Batch:
        inputs = [job.inputs[index] for job, index in run.rows]
        return collate(inputs, self.padding, run.length)
