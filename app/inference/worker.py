"""BatchWorker: the one thread that forms batches, and the run threads that compute them.

    submit ──▶ inbox ──▶ worker: waiting rows ──▶ runners' inbox ──▶ runner: Session.run
                 ▲                                                       │
                 └────────────────── Finished ◀──────────────────────────┘

Batches are greedy: whenever a runner is idle, what waits is cut into its next batch; there is no
timer. Threads share nothing but queues: the worker alone touches jobs and rows, and hands results
to the event loop of each job with one call per batch.

No job waits for ever: a failing run fails its batch's jobs and the next batch is tried; when a
thread itself ends, every pending job fails and `submit` refuses new ones.
"""

import logging
import threading
import time
from asyncio import AbstractEventLoop
from bisect import insort
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from app.errors import BackendFailed, ServiceError
from app.inference.batch import Batch, BatchLimits, TokenizedInput, blank, choose, collate
from app.inference.manifest import Padding
from app.metrics import Metrics

logger = logging.getLogger(__name__)

# One batch in so many goes to the job that has waited longest for a row of its own.
OLDEST_EVERY = 8


class Runs(Protocol):
    """What the worker needs of a session."""

    def run(self, batch: Batch, outputs: Sequence[str]) -> dict[str, NDArray[np.float32]]: ...


class Completion(Protocol):
    """Where a job's outcome goes; called once, on the job's event loop."""

    def __call__(self, error: ServiceError | None) -> None: ...


@dataclass(slots=True, eq=False)
class Job:
    """One request's inputs, and the row of the graph's `output` for each.

    The worker owns it from `submit` until `done` is called; others may only set `abandoned`.
    """

    inputs: Sequence[TokenizedInput]
    output: str
    loop: AbstractEventLoop
    done: Completion
    rows: list[NDArray[np.float32] | None] = field(default_factory=list)  # by input, when done
    abandoned: bool = False  # nobody waits any more: rows not yet in a batch are dropped
    queue_seconds: float = 0.0  # summed over the rows, as is inference_seconds
    inference_seconds: float = 0.0
    submitted: float = field(default_factory=time.perf_counter)
    arrival: int = 0  # position in the order of submission
    queued: int = 0  # rows not yet in a batch
    missing: int = 0  # rows not yet computed
    last_batch: int = 0  # number of the batch that last took a row, or that preceded its arrival


class _Row(NamedTuple):
    """One waiting input; sorts by length, then by arrival."""

    length: int
    arrival: int
    position: int  # among the inputs of its job


@dataclass(frozen=True, slots=True)
class _Run:
    rows: Sequence[tuple[Job, int]]  # with the input's position in its job
    batch: Batch
    outputs: Sequence[str]


@dataclass(frozen=True, slots=True)
class _Finished:
    run: _Run
    results: dict[str, NDArray[np.float32]]
    error: BaseException | None
    started: float
    seconds: float


@dataclass(frozen=True, slots=True)
class _WarmUp:
    """Run every shape that can occur, for this output, while nothing else is to be done."""

    output: str


class _Close:
    """Finish what waits, then end."""


class BatchWorker:
    """Forms batches out of everything that waits and runs them; `submit` from any thread."""

    def __init__(
        self,
        session: Runs,
        padding: Padding,
        limits: BatchLimits,
        metrics: Metrics,
        run_threads: int = 1,
    ) -> None:
        self._session = session
        self._padding = padding
        self._limits = limits
        self._metrics = metrics
        self._inbox: SimpleQueue[Job | _Finished | _WarmUp | _Close] = SimpleQueue()
        self._runs: SimpleQueue[_Run | None] = SimpleQueue()
        self._idle = run_threads
        self._spare: deque[_Run] = deque()  # runs for times when nothing waits
        self._waiting: list[_Row] = []  # ascending
        self._jobs: dict[int, Job] = {}  # by arrival; those with rows still missing
        self._queued: dict[int, Job] = {}  # by arrival; those with rows in `_waiting`
        self._arrivals = 0
        self._batches = 0
        self._refusal: str | None = None
        self._lock = threading.Lock()  # between submit and the end of the worker
        self.healthy = True  # whether the last run succeeded; the model was proved before we began
        self._thread = threading.Thread(target=self._work, name="batch", daemon=True)
        self._runners = [
            threading.Thread(target=self._run_batches, name=f"run-{i}", daemon=True)
            for i in range(run_threads)
        ]

    def start(self) -> None:
        """Start the threads; once."""
        for thread in (self._thread, *self._runners):
            thread.start()

    def submit(self, job: Job) -> None:
        """Queue a job; `job.done` is called exactly once, whatever happens.

        Raises: BackendFailed when the worker has ended.
        """
        with self._lock:
            if self._refusal is not None:
                raise BackendFailed(f"Backend error: {self._refusal}")
            self._inbox.put(job)

    def warm_up(self, output: str) -> None:
        """Run each shape once on every run thread, where shapes are few, whenever nothing waits."""
        self._inbox.put(_WarmUp(output))

    def close(self) -> None:
        """Compute what was submitted, refuse what comes after, and end the threads."""
        self._refuse("the service is shutting down")
        self._inbox.put(_Close())
        self._thread.join()

    # The worker thread.

    def _work(self) -> None:
        reason = "the service is shutting down"
        try:
            closing = False
            while not closing or self._jobs or self._idle < len(self._runners):
                closing = self._take(self._inbox.get()) or closing
                while not self._inbox.empty():
                    closing = self._take(self._inbox.get()) or closing
                self._drop_abandoned()
                self._start_runs()
        except BaseException as error:  # everyone who waits must hear of it
            reason = f"the batching worker ended: {error!r}"
            logger.critical("%s", reason, exc_info=True)
        finally:
            self._end(reason)

    def _take(self, message: Job | _Finished | _WarmUp | _Close) -> bool:
        """Handle one message; True when it asks to close."""
        if isinstance(message, Job):
            self._accept(message)
        elif isinstance(message, _Finished):
            self._finish(message)
        elif isinstance(message, _WarmUp):
            self._spare.extend(
                _Run((), blank(*shape, self._padding), (message.output,))
                for shape in self._limits.shapes()
            )
        else:
            self._spare.clear()
        return isinstance(message, _Close)

    def _accept(self, job: Job) -> None:
        self._arrivals += 1
        job.arrival = self._arrivals
        job.last_batch = self._batches
        job.queued = job.missing = len(job.inputs)
        job.rows = [None] * len(job.inputs)
        self._jobs[job.arrival] = self._queued[job.arrival] = job
        for position, tokens in enumerate(job.inputs):
            insort(self._waiting, _Row(len(tokens), job.arrival, position))

    def _drop_abandoned(self) -> None:
        for job in [job for job in self._queued.values() if job.abandoned]:
            self._metrics.count("te_request_failure", 'err="dropped"', job.queued)
            self._discard(job)

    def _discard(self, job: Job) -> None:
        """Forget a job; its waiting rows leave, its running ones will find nobody."""
        if self._queued.pop(job.arrival, None) is not None:
            self._waiting = [row for row in self._waiting if row.arrival != job.arrival]
        del self._jobs[job.arrival]

    def _start_runs(self) -> None:
        while self._idle and self._waiting:
            run = self._form()
            self._idle -= 1
            self._runs.put(run)
        if self._spare and self._idle == len(self._runners):
            run = self._spare.popleft()
            for _ in self._runners:  # each stream of a provider learns a shape for itself
                self._idle -= 1
                self._runs.put(run)
        self._metrics.set("te_queue_size", len(self._waiting))

    def _form(self) -> _Run:
        """Take the rows of the next batch out of those that wait."""
        chosen = choose([row.length for row in self._waiting], self._anchor(), self._limits)
        rows = [(self._jobs[row.arrival], row.position) for row in self._waiting[chosen]]
        del self._waiting[chosen]
        self._batches += 1
        for job, _ in rows:
            job.last_batch = self._batches
            job.queued -= 1
            if not job.queued:
                del self._queued[job.arrival]
        inputs = [job.inputs[index] for job, index in rows]
        length = self._limits.padded(max(map(len, inputs)))
        batch = collate(inputs, self._padding, length)
        self._metrics.observe("te_batch_next_size", len(rows))
        self._metrics.observe("te_batch_next_tokens", batch.input_ids.size)
        return _Run(rows, batch, tuple(dict.fromkeys(job.output for job, _ in rows)))

    def _anchor(self) -> int:
        """The place in `_waiting` of the row that must go into the next batch.

        It belongs to the job with the fewest rows left, so that a query does not wait behind a
        bulk request; but now and then to the job not served for longest, so that none starves.
        """
        if self._batches % OLDEST_EVERY == OLDEST_EVERY - 1:
            job = min(self._queued.values(), key=lambda job: (job.last_batch, job.arrival))
        else:
            job = min(self._queued.values(), key=lambda job: (job.queued, job.arrival))
        return next(i for i, row in enumerate(self._waiting) if row.arrival == job.arrival)

    def _finish(self, finished: _Finished) -> None:
        self._idle += 1
        error = finished.error
        if error is not None and not isinstance(error, Exception):
            raise error  # not a failing model but a dying process: fail everything that waits
        self.healthy = error is None
        if error is None:
            _deliver([(job, None) for job in self._store(finished)])
        else:
            failure = _as_service_error(error)
            failed = {job.arrival: job for job, _ in finished.run.rows}.keys() & self._jobs.keys()
            jobs = [self._jobs[arrival] for arrival in sorted(failed)]
            for job in jobs:
                self._discard(job)
            _deliver([(job, failure) for job in jobs])

    def _store(self, finished: _Finished) -> list[Job]:
        """Copy each row to its job; the jobs that are complete now."""
        complete = []
        for place, (job, index) in enumerate(finished.run.rows):
            if job.arrival not in self._jobs:
                continue  # failed meanwhile, by another of its rows
            values = finished.results[job.output][place]
            if values.ndim == 2:  # a vector for each token: padding has none
                values = values[finished.run.batch.attention_mask[place] == 1]
            job.rows[index] = values
            job.queue_seconds += finished.started - job.submitted
            job.inference_seconds += finished.seconds
            job.missing -= 1
            if not job.missing:
                del self._jobs[job.arrival]
                complete.append(job)
        return complete

    def _refuse(self, reason: str) -> None:
        with self._lock:
            self._refusal = self._refusal or reason

    def _end(self, reason: str) -> None:
        """Fail whatever is left, also what slipped into the inbox, and end the run threads."""
        self.healthy = False
        self._refuse(reason)
        left = list(self._jobs.values())
        while not self._inbox.empty():
            message = self._inbox.get()
            if isinstance(message, Job):
                left.append(message)
        _deliver([(job, BackendFailed(f"Backend error: {reason}")) for job in left])
        for _ in self._runners:
            self._runs.put(None)

    # The run threads.

    def _run_batches(self) -> None:
        while (run := self._runs.get()) is not None:
            started = time.perf_counter()
            results: dict[str, NDArray[np.float32]] = {}
            error: BaseException | None = None
            try:
                results = self._session.run(run.batch, run.outputs)
            except BaseException as caught:  # noqa: BLE001  # whatever it is, its jobs must hear
                error = caught
            seconds = time.perf_counter() - started
            self._inbox.put(_Finished(run, results, error, started, seconds))


def _as_service_error(error: BaseException) -> ServiceError:
    if isinstance(error, ServiceError):
        return error
    return BackendFailed(f"Backend error: {error!r}")


def _deliver(outcomes: Sequence[tuple[Job, ServiceError | None]]) -> None:
    """Tell each event loop of its jobs with one call."""
    by_loop: dict[AbstractEventLoop, list[tuple[Job, ServiceError | None]]] = {}
    for job, error in outcomes:
        by_loop.setdefault(job.loop, []).append((job, error))
    for loop, group in by_loop.items():
        try:
            loop.call_soon_threadsafe(_complete, group)
        except RuntimeError:
            logger.warning("%d answers had nobody to go to: their event loop is closed", len(group))


def _complete(outcomes: Sequence[tuple[Job, ServiceError | None]]) -> None:
    for job, error in outcomes:
        job.done(error)
