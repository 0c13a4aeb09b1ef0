"""Runner: a thread that computes one batch at a time and reports the outcome."""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from app.inference.batching.job import Job
from app.inference.providers import niceness
from app.model.batch import Batch, BatchLimits, Results, Runs, collate, require_rows
from app.model.parts import Padding


class EndableRuns(Runs, Protocol):
    """A session whose runs can be terminated."""

    def terminate(self, thread: int) -> None:
        """Make the run that this thread waits for fail soon; from any thread."""


@dataclass(slots=True)
class FailureCount:
    """The failures so far among the parts of one failed batch."""

    limit: int  # failures in a row after which a blank run tests the session itself
    in_a_row: int = 0


@dataclass(slots=True, eq=False)
class Run:
    """Rows that are computed together; the worker may change it, a runner only reads it."""

    rows: Sequence[tuple[Job, int]]  # with the input's position in its job
    outputs: Sequence[str]
    failures: FailureCount
    length: int = 0  # tokens to pad rows to, unless they are longer
    batch: Batch | None = None  # in place of rows: a blank one, to learn a shape or test a session
    is_spare: bool = False  # teaches the provider a shape; no job depends on it
    deadline: float = 0.0  # by time.monotonic()
    overdue: bool = False  # its deadline has passed, its jobs have failed, and it was told to end

    @classmethod
    def of(
        cls, rows: Sequence[tuple[Job, int]], failures: FailureCount, limits: BatchLimits
    ) -> Self:
        """Make a run of the outputs that its rows need, padded to a length the provider knows."""
        length = limits.padded(max(len(job.inputs[index]) for job, index in rows))
        outputs = dict.fromkeys(name for job, _ in rows for name in job.outputs)
        return cls(rows, tuple(outputs), failures, length)

    @property
    def tokens(self) -> int:
        """The tokens of its rows, without padding."""
        return sum(len(job.inputs[index]) for job, index in self.rows)

    @property
    def shape(self) -> tuple[int, int]:
        """The number of rows, and their padded length."""
        if self.batch is None:
            return len(self.rows), self.length
        rows, length = self.batch.input_ids.shape
        return rows, length

    @property
    def is_single_input(self) -> bool:
        """True if it holds only rows of single-input jobs."""
        return all(job.is_single_input for job, _ in self.rows)


@dataclass(frozen=True, slots=True, eq=False)
class Finished:
    """The outcome of a run."""

    runner: "Runner"
    run: Run
    results: Results
    attention_mask: NDArray[np.int64] | None  # (B, S) of the batch
    error: BaseException | None
    started: float
    seconds: float

    @property
    def waits(self) -> list[float]:
        """The seconds that each row had waited for the run, unless it gives way to others."""
        return [self.started - job.submitted for job, _ in self.run.rows if not job.gives_way]


@dataclass(slots=True, eq=False)
class Runner:
    """Computes the runs it is given, and reports every failure; decides nothing."""

    session: EndableRuns
    padding: Padding
    report: Callable[[Finished], None]
    _runs: "SimpleQueue[Run | None]" = field(default_factory=SimpleQueue)
    _thread: threading.Thread | None = None

    def start(self, name: str) -> None:
        """Start the thread; call once."""
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def compute(self, run: Run) -> None:
        """Compute a run on the thread; one at a time."""
        self._runs.put(run)

    def terminate(self) -> None:
        """Make the current run fail soon."""
        if self._thread is not None and self._thread.ident is not None:
            self.session.terminate(self._thread.ident)

    def end(self) -> None:
        """End the thread once it has computed what it was given."""
        self._runs.put(None)

    def _work(self) -> None:
        niceness.give_way()
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
        except BaseException as caught:  # noqa: BLE001  # whatever failed, its jobs must be told
            error = caught
        return Finished(self, run, results, mask, error, started, time.perf_counter() - started)

    def _collated(self, run: Run) -> Batch:
        inputs = [job.inputs[index] for job, index in run.rows]
        return collate(inputs, self.padding, run.length)
