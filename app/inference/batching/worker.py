"""BatchWorker: the one thread that forms batches, and the runners that compute them.

    submit ──▶ inbox ──▶ worker: waiting rows ──▶ a runner's inbox ──▶ runner: Session.run
                 ▲                                                         │
                 └────────────────── Finished ◀────────────────────────────┘

A runner belongs to one session; with several GPUs each has a session, and all of them take from
the same waiting rows. Batches are greedy, without a timer: whenever a runner is idle, waiting rows
are cut into its next batch. Some runners may be reserved for single-input jobs, so that a query is
computed beside the batches of a bulk request and not behind them. Shapes that a provider has to
learn run only in quiet times, one at a time, and never on the last runner: no job waits for one.
Threads share nothing but queues: only the worker touches jobs and rows, and it hands results to
the event loop of each job with one call per batch. Beside other models, runs are launched in turns.

No job waits forever:
- a batch whose run fails is halved until each input at fault is alone, and only its job fails;
  if a session fails without any input at fault, the whole batch fails soon;
- a batch that does not fit into memory is halved too, and no later one is as large;
- a device that is lost ends the worker, and so the process: nothing else brings it back;
- a run that exceeds its timeout fails its jobs and is told to end; one that does not end even then
  is replaced by a fresh runner; a second one like it ends the worker;
- when the worker ends, every pending job fails, and `submit` refuses new ones.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Iterator, Sequence
from contextvars import copy_context
from queue import Empty, SimpleQueue
from typing import Literal

import numpy as np

from app.errors import BackendFailed, DeviceLost
from app.inference.batching.fault_search import FaultSearch
from app.inference.batching.job import Job
from app.inference.batching.pending_jobs import Pending
from app.inference.batching.runner import EndableRuns, FailureCount, Finished, Run
from app.inference.batching.runner_pool import RunnerPool, RunOptions, WorkerLost
from app.inference.batching.turns import Alone, Turns
from app.inference.batching.warm_up import WarmUp
from app.model.batch import BatchLimits
from app.model.parts import Padding
from app.telemetry.load import Load
from app.telemetry.metrics import Metrics

logger = logging.getLogger(__name__)


# A word tells the worker to finish its jobs and end, or that its model has the turn.
_Message = Job | Finished | Literal["close", "turn"]


class BatchWorker:
    """Forms batches of all waiting inputs and runs them; `submit` from any thread."""

    def __init__(
        self,
        sessions: Sequence[EndableRuns],
        padding: Padding,
        limits: BatchLimits,
        metrics: Metrics,
        options: RunOptions,
        turns: Turns | None = None,
    ) -> None:
        self._metrics = metrics
        self._pending = Pending(limits, metrics)
        self._inbox: SimpleQueue[_Message] = SimpleQueue()
        turn = turns.join(lambda: self._inbox.put("turn")) if turns else Alone()
        self._runners = RunnerPool(sessions, padding, options, self._inbox.put, turn)
        self._faults = FaultSearch(self._pending, padding, metrics)
        self.load = Load(self._pending.waiting.tokens, self._runners.tokens)
        self._refusal: str | None = None
        self._lock = threading.Lock()  # between submit and the end of the worker
        self.healthy = True  # whether the last run succeeded; the model was proved before
        self.last_success = time.monotonic()
        self.failure: str | None = None  # why the worker ended, if it was not closed
        self.warm_up = WarmUp()
        self._asked = time.monotonic()  # when a request last arrived or was answered
        run = copy_context().run  # its log lines name the model that those of its start name
        self._thread = threading.Thread(target=run, args=(self._work,), name="batch", daemon=True)

    @property
    def options(self) -> RunOptions:
        """Options for computing batches; new ones take effect with the next run."""
        return self._runners.options

    @options.setter
    def options(self, options: RunOptions) -> None:
        self._runners.options = options

    def start(self, warm_up: WarmUp | None = None) -> None:
        """Start the threads, once; shapes still to be learned are learned in quiet times."""
        self.warm_up = warm_up or self.warm_up
        if self._runners.count == 1:  # requests may need the only runner at any time
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

        Returns after `seconds` at the latest, even if a run hangs.
        """
        self._refuse("the service is shutting down")
        self._inbox.put("close")
        self._thread.join(seconds)

    # Everything below runs on the worker's thread.

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
        except BaseException as error:  # every waiting job must be told
            expected = isinstance(error, WorkerLost)
            reason = f"the batching worker ended: {error if expected else repr(error)}"
            self.failure = reason
            logger.critical("%s", reason, exc_info=not expected)
        finally:
            self._end(reason)

    def _messages(self) -> Iterator[_Message]:
        """Wait for a message or the next deadline; yield all that came, each when it is due."""
        with contextlib.suppress(Empty):
            quiet_in = self._quiet_in()
            timeout = self._runners.seconds_left() if quiet_in is None else quiet_in
            yield self._inbox.get(timeout=timeout)
            while True:
                yield self._inbox.get_nowait()

    def _quiet_in(self) -> float | None:
        """Return the seconds until a shape may be learned, or None if none may be for now."""
        if self.warm_up.is_over or self._wants:
            return None
        return self._runners.quiet_in(self._asked)

    def _take(self, message: _Message) -> bool:
        """Handle one message; return True if it asks to close."""
        is_own = message == "turn" or (isinstance(message, Finished) and message.run.is_spare)
        if not is_own:
            self._asked = time.monotonic()
        if isinstance(message, Job):
            self._pending.add(message)
        elif isinstance(message, Finished):
            self._finish(message)
        elif message == "close":
            self.warm_up.give_up()
        return message == "close"

    def _start_runs(self) -> None:
        while self._wants and self._runners.may_launch() and (run := self._next()) is not None:
            self._runners.launch(run)
        is_quiet = self._quiet_in() == 0 and self._runners.may_launch()
        if is_quiet and (run := self.warm_up.next()) is not None:
            self._runners.launch(run)
        self._runners.settle(wants=self._wants)
        self._metrics.set("te_queue_size", len(self._pending.waiting))

    @property
    def _wants(self) -> bool:
        """True if rows wait to be computed."""
        return bool(self._faults or self._pending.waiting)

    def _next(self) -> Run | None:
        """Return the next run: parts of failed batches first, as they have waited longest."""
        if (part := self._faults.next()) is not None:
            return part
        return self._form() if self._pending.waiting else None

    def _form(self) -> Run | None:
        """Form the next batch, or return None if no waiting row may go now."""
        limits, single_input = self._pending.waiting.limits, self._runners.takes_single_input_only
        is_bounded = single_input or self._runners.runs_longer_than(limits.max_tokens)
        longest = limits.max_tokens if is_bounded else None
        rows = self._pending.waiting.take(longest, single_input=single_input)
        if not rows:
            return None
        # One input at fault fails once per halving; twice as many failures may be the session's.
        run = Run.of(rows, FailureCount(limit=2 * len(rows).bit_length()), limits)
        self._metrics.observe("te_batch_next_size", len(rows))
        self._metrics.observe("te_batch_next_tokens", run.length * len(rows))
        return run

    def _finish(self, finished: Finished) -> None:
        if not self._runners.take_back(finished):
            return
        if finished.error is None:
            self.healthy = all(np.isfinite(one).any() for one in finished.results.values())
            if self.healthy:
                self.last_success = time.monotonic()
            finished.run.failures.in_a_row = 0
            self.warm_up.ran(finished.run.shape)
            self.load.ran(finished.run.tokens, finished.seconds, finished.waits)
            self._pending.store(finished)
        else:
            self.healthy = self.healthy and finished.run.is_spare
            self._fail(finished.run, finished.error)

    def _fail(self, run: Run, error: BaseException) -> None:
        """Handle a failed run; its rows may be computed again in parts.

        Raises: WorkerLost when no later run can succeed.
        """
        if isinstance(error, DeviceLost):
            raise WorkerLost(str(error).removeprefix("Backend error: "))
        if run.is_spare:
            self.warm_up.give_up(error)
            return
        self._faults.look(run, error)

    def _give_up(self, run: Run) -> None:
        """Fail the jobs of a run that exceeded its timeout."""
        reason = f"a run took longer than {self.options.timeout_seconds:g} seconds"
        logger.error("%s", reason)
        self.healthy = False
        self._metrics.count("te_run_timeouts")
        self._pending.fail(self._pending.wanted(run), BackendFailed(f"Backend error: {reason}"))

    def _refuse(self, reason: str) -> None:
        with self._lock:
            self._refusal = self._refusal or reason

    def _end(self, reason: str) -> None:
        """Fail all remaining jobs, also those still in the inbox, and end the runners."""
        self.healthy = False
        self._refuse(reason)
        left = [self._inbox.get() for _ in range(self._inbox.qsize())]
        late = [message for message in left if isinstance(message, Job)]
        self._pending.end(late, BackendFailed(f"Backend error: {reason}"))
        self._runners.end()
