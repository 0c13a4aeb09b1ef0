"""A worker with a session whose runs the test starts and ends."""

import asyncio
import contextlib
import itertools
import queue
import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from app.errors import BackendFailed, ServiceError
from app.inference.batching.job import Job
from app.inference.batching.runner_pool import RunOptions
from app.inference.batching.warm_up import WarmUp
from app.inference.batching.worker import BatchWorker
from app.model.batch import Batch, BatchLimits, TokenizedInput
from app.model.parts import Padding
from app.telemetry.metrics import Metrics

_sessions: list["SteeredSession"] = []
PADDING = Padding(id=0, type_id=0, side="right")


class SteeredSession:
    """A session whose runs wait for the test; its answer for a row is the row's first id.

    The test ends runs in the order in which they started.
    """

    def __init__(self) -> None:
        self.started: queue.Queue[Batch] = queue.Queue()
        self.threads: queue.Queue[int] = queue.Queue()  # threads of started runs
        self.terminated: queue.Queue[int] = queue.Queue()  # threads whose run was to be ended
        self._outcomes: defaultdict[int, queue.Queue[BaseException | None]]
        self._outcomes = defaultdict(queue.Queue)  # by the number of the run
        self._runs, self._finished = itertools.count(), itertools.count()
        self._over = False
        self._lock = threading.Lock()
        _sessions.append(self)

    def run(self, batch: Batch, outputs: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        with self._lock:
            if self._over:
                raise BackendFailed("Backend error: the test is over")
            outcomes = self._outcomes[next(self._runs)]
            self.threads.put(threading.get_ident())
            self.started.put(batch)
        outcome = outcomes.get(timeout=60)
        if outcome is not None:
            raise outcome
        firsts = batch.input_ids[:, :1].astype(np.float32)
        return {name: firsts * (1 if name == "out" else -1) for name in outputs}

    def terminate(self, thread: int) -> None:
        self.terminated.put(thread)

    def next_batch(self) -> list[int]:
        """Wait for a run to start; return the first id of each of its rows."""
        return sorted(self.started.get(timeout=60).input_ids[:, 0].tolist())

    def finish(self, outcome: BaseException | None = None) -> None:
        """End the first run that has not been ended with this outcome, even before it starts."""
        with self._lock:
            self._outcomes[next(self._finished)].put(outcome)

    def let_go(self) -> None:
        """Fail each run that still waits, and all future ones."""
        with self._lock:
            self._over = True
            for outcomes in self._outcomes.values():
                outcomes.put(BackendFailed("Backend error: the test is over"))


@dataclass
class Outcome:
    """The outcome of a job, as delivered to the event loop."""

    job: Job
    told: threading.Event = field(default_factory=threading.Event)
    error: ServiceError | None = None

    def wait(self) -> list[float]:
        assert self.told.wait(60), "a job was never answered"
        if self.error is not None:
            raise self.error
        return [float(row[0][0]) for row in self.job.rows if row is not None]


@dataclass
class Bench:
    """A worker under test, with an event loop in a thread of its own."""

    session: SteeredSession
    worker: BatchWorker
    metrics: Metrics
    loop: asyncio.AbstractEventLoop

    def submit(self, *rows: tuple[int, int], output: str = "out") -> Outcome:
        return submit(self.worker, self.loop, *rows, output=output)


def submit(
    worker: BatchWorker,
    loop: asyncio.AbstractEventLoop,
    *rows: tuple[int, int],
    output: str = "out",
) -> Outcome:
    """Submit a job; each row is a length, and the id that fills it."""
    inputs = [TokenizedInput(np.full(length, first)) for length, first in rows]
    return submit_inputs(worker, loop, inputs, output)


def submit_inputs(
    worker: BatchWorker,
    loop: asyncio.AbstractEventLoop,
    inputs: list[TokenizedInput],
    output: str,
) -> Outcome:
    """Submit a job of these inputs."""
    outcome: Outcome

    def done(error: ServiceError | None) -> None:
        outcome.error = error
        outcome.told.set()

    outcome = Outcome(Job(inputs, (output,), loop, done))
    worker.submit(outcome.job)
    return outcome


def make_bench(
    loop: asyncio.AbstractEventLoop,
    max_tokens: int = 100,
    options: RunOptions | None = None,
    session: SteeredSession | None = None,
    **few: Any,
) -> Bench:
    """Return a started worker over a steered session; where shapes are few, it learns them."""
    session, metrics, options = session or SteeredSession(), Metrics(), options or RunOptions()
    limits = BatchLimits(max_tokens, **few)
    worker = BatchWorker([session], PADDING, limits, metrics, options)
    worker.start(WarmUp(limits.shapes(), "out", PADDING, [session] * options.threads))
    return Bench(session, worker, metrics, loop)


@contextlib.contextmanager
def loop_in_thread() -> Iterator[asyncio.AbstractEventLoop]:
    """Run an event loop in a thread. Workers started inside the block are closed before it."""
    workers: list[BatchWorker] = []
    start = BatchWorker.start

    def start_and_keep(worker: BatchWorker, warm_up: WarmUp | None = None) -> None:
        workers.append(worker)
        start(worker, warm_up)

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        with pytest.MonkeyPatch.context() as patching:
            patching.setattr(BatchWorker, "start", start_and_keep)
            yield loop
    finally:
        while _sessions:
            _sessions.pop().let_go()
        for worker in workers:
            worker.close(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
