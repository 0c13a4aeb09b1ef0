"""Lane: jobs whose rows give way to those of requests, and go to the worker bit by bit.

While there are requests, a portion goes when none is in progress and the last one has been
computed and paid for with a pause: it keeps a request waiting for a small run at most. After a
while without requests, as many rows go as keep all runners busy. Whatever the requests, a portion
goes now and then, so that the lane never stands still.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from app.errors import ServiceError
from app.inference.batching.gathering import Jobs
from app.inference.batching.job import Job

QUIET_SECONDS = 2.0  # without a request, before rows are handed over as fast as they are computed
PORTION_TOKENS = 64  # of the rows that go together while there are requests, or one row of more
PAUSE = 1.0  # after a portion, in times of what it took
LONGEST_WAIT_SECONDS = 1.0  # for a moment without a request
LOOK_SECONDS = 0.002  # between two looks for such a moment


class Live(Protocol):
    """The requests of clients: the permits of a model."""

    @property
    def taken_by_all(self) -> int:
        """How many permits are held."""

    @property
    def entered_by_all(self) -> int:
        """How many requests have got permits since the start."""


@dataclass(slots=True, eq=False)
class _Whole:
    """A job that is computed in parts, a row each."""

    job: Job
    missing: int
    is_over: bool = False  # it has been answered


class Lane:
    """Takes jobs, hands over their rows as jobs that give way; lives on one event loop."""

    def __init__(
        self,
        jobs: Jobs,
        live: Live,
        ahead_tokens: int,
        clock: Callable[[], float] = time.monotonic,
        later: Callable[[float, Callable[[], None]], object] | None = None,
    ) -> None:
        """Take what computes rows, and how many tokens it gets ahead in quiet times."""
        self._jobs = jobs
        self._live = live
        self._ahead_tokens = ahead_tokens
        self._clock = clock
        self._later = later or _later
        self._waiting: deque[tuple[_Whole, int]] = deque()  # rows, by their place in the job
        self._out = 0  # tokens that are being computed
        self._entered = 0
        self._quiet_at = self._portion_at = self._portion_since = 0.0
        self._latest_at = 0.0  # when a portion goes whatever the requests
        self._looks = False  # a look is due

    def submit(self, job: Job) -> None:
        """Queue a job; `job.done` is called exactly once, whatever happens."""
        job.rows = [None] * len(job.inputs)
        if not self._waiting and not self._out:
            self._latest_at = self._clock() + LONGEST_WAIT_SECONDS
        whole = _Whole(job, len(job.inputs))
        self._waiting.extend((whole, place) for place in range(len(job.inputs)))
        self._hand_over()

    def _hand_over(self) -> None:
        """Hand over what may go now, and look again soon if rows are left."""
        now = self._clock()
        entered = self._live.entered_by_all
        if entered != self._entered or self._live.taken_by_all:
            self._entered = entered
            self._quiet_at = now + QUIET_SECONDS
        if now >= self._quiet_at:
            self._submit(self._ahead_tokens)
        elif not self._out and self._may_go(now):
            self._submit(PORTION_TOKENS)
        if self._waiting and not self._looks:
            self._looks = True
            self._later(LOOK_SECONDS, self._look)

    def _may_go(self, now: float) -> bool:
        """Check whether a portion may go."""
        is_free = not self._live.taken_by_all and now >= self._portion_at
        return is_free or now >= self._latest_at

    def _look(self) -> None:
        self._looks = False
        self._hand_over()

    def _submit(self, tokens: int) -> None:
        """Hand over rows until `tokens` are being computed."""
        if not self._out:
            self._portion_since = self._clock()
        while self._waiting and self._out < tokens:
            whole, place = self._waiting.popleft()
            if whole.is_over or whole.job.abandoned:
                continue
            job, one = whole.job, whole.job.inputs[place]
            self._out += len(one)
            part = Job([one], job.outputs, job.loop, _nobody, route=job.route, gives_way=True)
            part.done = partial(self._done, whole, place, part)
            try:
                self._jobs.submit(part)
            except ServiceError as error:
                part.done(error)

    def _done(self, whole: _Whole, place: int, part: Job, error: ServiceError | None) -> None:
        """Take the row of a part that has been computed, and hand over others."""
        part.done = _nobody  # a cycle would keep both alive
        self._out -= len(part.inputs[0])
        if not self._out:
            now = self._clock()
            pause = min(PAUSE * (now - self._portion_since), LONGEST_WAIT_SECONDS)
            self._portion_at = now + pause
            self._latest_at = now + LONGEST_WAIT_SECONDS
        job = whole.job
        if error is None and not whole.is_over:
            job.rows[place] = part.rows[0]
            job.queue_seconds += part.queue_seconds
            job.inference_seconds += part.inference_seconds
            whole.missing -= 1
        if not whole.is_over and (error is not None or not whole.missing):
            whole.is_over = True
            job.done(error)
        if self._waiting:
            self._hand_over()


def _later(seconds: float, look: Callable[[], None]) -> None:
    asyncio.get_running_loop().call_later(seconds, look)


def _nobody(error: ServiceError | None) -> None:
    """Stand in for the completion of a job that is being made, or has been answered."""
    del error
