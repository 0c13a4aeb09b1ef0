"""BatchWorker: the one thread that forms batches, and the runners that compute them.

    submit ──▶ inbox ──▶ worker: waiting rows ──▶ a runner's inbox ──▶ runner: Session.run
                 ▲                                                         │
                 └────────────────── Finished ◀────────────────────────────┘

A runner belongs to one session; where there are several GPUs, each has a session, and all of them
take from the same waiting rows. Batches are greedy: whenever a runner is idle, what waits is cut
into its next batch; there is no timer. Some runners may be kept for inputs that came alone: a
query is then computed beside the batches of a bulk request, not behind them. Shapes that a provider
has to learn run when nobody has asked for a while, one at a time, and never on the last runner: no
job waits for one. Threads share nothing but queues: the worker alone touches jobs and rows, and
hands results to the event loop of each job with one call per batch.

No job waits for ever:
- a batch whose run fails is halved until each input at fault is alone, and only its job fails;
  where a session fails without any input at fault, all of the batch fails soon;
- a batch that does not fit into memory is halved too, and no later one is as large;
- a device that is lost ends the worker, and so the process: nothing else brings it back;
- a run that outlasts its limit fails its jobs and is told to end; one that does not end even then
  loses its place to a fresh runner; a second one like it ends the worker;
- when the worker ends, every pending job fails, and `submit` refuses new ones.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from queue import Empty, SimpleQueue

import numpy as np

from app.errors import BackendFailed, DeviceLost, OutOfMemory, ServiceError
from app.inference.batching.job import Job
from app.inference.batching.pending import Pending
from app.inference.batching.runner import EndableRuns, Finished, Run, Search
from app.inference.batching.runner_pool import Lost, RunnerPool, RunOptions
from app.inference.batching.warm_up import WarmUp
from app.model.batch import BatchLimits, blank
from app.model.parts import Padding
from app.telemetry.metrics import Metrics

logger = logging.getLogger(__name__)


class _Close:
    """Finish what waits, then end."""


class BatchWorker:
    """Forms batches out of everything that waits and runs them; `submit` from any thread."""

    def __init__(
        self,
        sessions: Sequence[EndableRuns],
        padding: Padding,
        limits: BatchLimits,
        metrics: Metrics,
        options: RunOptions,
    ) -> None:
        self._padding = padding
        self._limits = limits
        self._metrics = metrics
        self._pending = Pending(limits, metrics)
        self._inbox: SimpleQueue[Job | Finished | _Close] = SimpleQueue()
        self._runners = RunnerPool(sessions, padding, options, self._inbox.put)
        self._most = options.threads * len(sessions)  # runs at a time that hold more than queries
        self._parts: list[Run] = []  # of failed batches; the last goes first
        self._refusal: str | None = None
        self._lock = threading.Lock()  # between submit and the end of the worker
        self.healthy = True  # whether the last run succeeded; the model was proved before we began
        self.last_success = time.monotonic()
        self.failure: str | None = None  # why it ended, if it was not closed
        self.warm_up = WarmUp()
        self._asked = time.monotonic()  # when somebody last asked for something, or got it
        self._thread = threading.Thread(target=self._work, name="batch", daemon=True)

    @property
    def options(self) -> RunOptions:
        """How batches are computed; others count from the next run on."""
        return self._runners.options

    @options.setter
    def options(self, options: RunOptions) -> None:
        self._runners.options = options

    def start(self, warm_up: WarmUp | None = None) -> None:
        """Start the threads, once; what is still to be learned is learned when it is quiet."""
        self.warm_up = warm_up or self.warm_up
        if self._runners.count == 1:  # requests may need it at any time
            self.warm_up.give_up()
        self._runners.start()
        self._thread.start()

    def submit(self, job: Job) -> None:
        """Queue a job; `job.done` is called exactly once, whatever happens.

        Raises: BackendFailed when the worker has ended.
        """
        with self._lock:
            if self._refusal is not None:
                raise BackendFailed(f"Backend error: {self._refusal}")
            self._inbox.put(job)

    def close(self, seconds: float | None = None) -> None:
        """Compute what was submitted, refuse what comes after, and end the threads.

        Returns after so many seconds at most, though a run may hang.
        """
        self._refuse("the service is shutting down")
        self._inbox.put(_Close())
        self._thread.join(seconds)

    # All that follows runs on the worker's thread.

    def _work(self) -> None:
        reason = "the service is shutting down"
        try:
            closing = False
            while not closing or self._pending or self._runners.running:
                for message in self._messages():
                    closing = self._take(message) or closing
                for run in self._runners.overdue():
                    self._give_up(run)
                self._pending.drop_abandoned()
                self._start_runs()
        except BaseException as error:  # everyone who waits must hear of it
            expected = isinstance(error, Lost)
            reason = f"the batching worker ended: {error if expected else repr(error)}"
            self.failure = reason
            logger.critical("%s", reason, exc_info=not expected)
        finally:
            self._end(reason)

    def _messages(self) -> Iterator[Job | Finished | _Close]:
        """Wait for a message or the next deadline; what has come, each taken out when it is due."""
        with contextlib.suppress(Empty):
            quiet_in = self._quiet_in()
            patience = self._runners.patience() if quiet_in is None else quiet_in
            yield self._inbox.get(timeout=patience)
            while True:
                yield self._inbox.get_nowait()

    def _quiet_in(self) -> float | None:
        """Seconds until a shape may be learned; None where none may as things are."""
        if self._runners.running or self.warm_up.is_over:
            return None
        return max(0.0, self._asked + self.options.quiet_seconds - time.monotonic())

    def _take(self, message: Job | Finished | _Close) -> bool:
        """Handle one message; True when it asks to close."""
        if not (isinstance(message, Finished) and message.run.is_spare):
            self._asked = time.monotonic()
        if isinstance(message, Job):
            self._pending.add(message)
        elif isinstance(message, Finished):
            self._finish(message)
        else:
            self.warm_up.give_up()
        return isinstance(message, _Close)

    def _start_runs(self) -> None:
        while self._runners.has_idle and (run := self._next()) is not None:
            self._runners.launch(run)
        if self._quiet_in() == 0 and (run := self.warm_up.next()) is not None:
            self._runners.launch(run)
        self._metrics.set("te_queue_size", len(self._pending.waiting))

    def _next(self) -> Run | None:
        """What is to be computed next: parts of failed batches have waited longest."""
        while self._parts:
            part = self._parts.pop()
            if part.batch is not None:
                return part
            rows = self._pending.wanted(part)
            count = self._limits.rows(len(rows)) if rows else 0
            if rows[count:]:
                self._parts.append(self._run(rows[count:], part.search))
            if count:
                return self._run(rows[:count], part.search)
        return self._form() if self._pending.waiting else None

    def _form(self) -> Run | None:
        """The next batch; None where nothing that waits may go now."""
        lone = sum(not run.is_lone for run in self._runners.running) >= self._most
        longest = self._limits.max_tokens if lone or self._long_one_runs() else None
        rows = self._pending.waiting.take(longest, lone=lone)
        if not rows:
            return None
        # An input at fault fails once at every halving; twice as often, it may be the session.
        run = self._run(rows, Search(limit=2 * len(rows).bit_length()))
        self._metrics.observe("te_batch_next_size", len(rows))
        self._metrics.observe("te_batch_next_tokens", run.length * len(rows))
        return run

    def _long_one_runs(self) -> bool:
        """Whether another input that exceeds a batch has to wait."""
        most = self._limits.max_tokens
        return self.options.one_long and any(run.length > most for run in self._runners.running)

    def _run(self, rows: Sequence[tuple[Job, int]], search: Search) -> Run:
        """A run of the union of what its rows need, padded to a length that the provider knows."""
        length = self._limits.padded(max(len(job.inputs[index]) for job, index in rows))
        return Run(rows, tuple(dict.fromkeys(job.output for job, _ in rows)), search, length)

    def _finish(self, finished: Finished) -> None:
        if not self._runners.take_back(finished):
            return
        if finished.error is None:
            self.healthy = all(np.isfinite(one).any() for one in finished.results.values())
            if self.healthy:
                self.last_success = time.monotonic()
            finished.run.search.failures = 0
            self.warm_up.ran(finished.run.shape)
            self._pending.store(finished)
        else:
            self.healthy = self.healthy and finished.run.is_spare
            self._look_for_fault(finished.run, finished.error)

    def _look_for_fault(self, run: Run, error: BaseException) -> None:
        """Halve what failed; of a single input, or where none is at fault, fail the jobs.

        Raises: Lost when no later run can succeed.
        """
        if isinstance(error, DeviceLost):
            raise Lost(str(error).removeprefix("Backend error: "))
        if run.is_spare:
            self.warm_up.give_up(error)
            return
        if isinstance(error, OutOfMemory | MemoryError):
            self._lower_limit(run)
        search = run.search
        if run.batch is not None:  # it held nobody's input
            self._condemn(search, error)
            return
        rows = self._pending.wanted(run)
        if len(run.rows) > 1:
            middle = len(rows) // 2
            parts = (rows[middle:], rows[:middle])
            self._parts += [self._run(part, search) for part in parts if part]
            logger.warning("a run of %d inputs failed and is halved: %r", len(rows), error)
        else:
            self._pending.fail(rows, _as_service_error(error))
        search.failures += 1
        if search.failures == search.limit:
            blameless = blank(1, self._limits.padded(1), self._padding)
            self._parts.append(Run((), run.outputs, search, batch=blameless))

    def _condemn(self, search: Search, error: BaseException) -> None:
        """Fail all that is left of a batch: a run without any of its inputs failed as well."""
        left = [part for part in self._parts if part.search is search]
        self._parts = [part for part in self._parts if part.search is not search]
        for part in left:
            self._pending.fail(self._pending.wanted(part), _as_service_error(error))

    def _lower_limit(self, run: Run) -> None:
        """Let no later batch hold more than half of what a run could not; one input always may."""
        self._metrics.count("te_out_of_memory")
        tokens = run.length * len(run.rows) // 2
        if len(run.rows) > 1 and tokens < self._limits.max_tokens:
            self._limits = replace(self._limits, max_tokens=tokens)
            self._pending.waiting.limits = self._limits
            self._metrics.set("te_batch_max_tokens", tokens)
            logger.warning("out of memory: from now on a batch holds at most %d tokens", tokens)

    def _give_up(self, run: Run) -> None:
        """Fail the jobs of a run that takes too long."""
        reason = f"a run took longer than {self.options.timeout_seconds:g} seconds"
        logger.error("%s", reason)
        self.healthy = False
        self._metrics.count("te_run_timeouts")
        self._pending.fail(self._pending.wanted(run), BackendFailed(f"Backend error: {reason}"))

    # The end.

    def _refuse(self, reason: str) -> None:
        with self._lock:
            self._refusal = self._refusal or reason

    def _end(self, reason: str) -> None:
        """Fail whatever is left, also what slipped into the inbox, and end the runners."""
        self.healthy = False
        self._refuse(reason)
        late = []
        while not self._inbox.empty():
            message = self._inbox.get()
            if isinstance(message, Job):
                late.append(message)
        self._pending.end(late, BackendFailed(f"Backend error: {reason}"))
        self._runners.end()


def _as_service_error(error: BaseException) -> ServiceError:
    if isinstance(error, ServiceError):
        return error
    return BackendFailed(f"Backend error: {error!r}")
