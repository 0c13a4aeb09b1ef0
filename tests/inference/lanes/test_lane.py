"""Lane: rows give way to requests without starving, and every job is answered once."""

import asyncio
from collections.abc import Callable, Iterator

import numpy as np
import pytest

from app.errors import BackendFailed, ServiceError
from app.inference.batching.job import Job
from app.inference.lanes.lane import (
    LONGEST_WAIT_SECONDS,
    LOOK_SECONDS,
    PORTION_TOKENS,
    QUIET_SECONDS,
    Lane,
)
from app.model.batch import TokenizedInput

AHEAD = 100


class Live:
    taken_by_all = 0
    entered_by_all = 0


class Bench:
    """A lane, the rows that it handed over, and a clock that the test moves."""

    def __init__(self) -> None:
        self.live = Live()
        self.now = 1000.0
        self.out: list[Job] = []
        self.answers: list[ServiceError | None] = []
        self.refuses: ServiceError | None = None
        self.loop = asyncio.new_event_loop()
        self._looks: list[tuple[float, Callable[[], None]]] = []
        self.lane = Lane(self, self.live, AHEAD, lambda: self.now, self._later)

    def submit(self, job: Job) -> None:
        """Take the place of the worker."""
        if self.refuses is not None:
            raise self.refuses
        self.out.append(job)

    def _later(self, seconds: float, look: Callable[[], None]) -> None:
        self._looks.append((self.now + seconds, look))

    def ask(self, *lengths: int) -> Job:
        inputs = [TokenizedInput(np.full(length, length)) for length in lengths]
        job = Job(inputs, ("v",), self.loop, self._answered)
        self.lane.submit(job)
        return job

    def _answered(self, error: ServiceError | None) -> None:
        self.answers.append(error)

    def passes(self, seconds: float) -> None:
        end = self.now + seconds
        while self._looks and min(self._looks)[0] <= end:
            at, look = self._looks.pop(0)
            self.now = max(self.now, at)
            look()
        self.now = end

    def compute(self, count: int = 1, seconds: float = 0.0) -> None:
        """Answer the oldest rows that were handed over."""
        self.now += seconds
        for _ in range(count):
            job = self.out.pop(0)
            assert job.gives_way
            [one] = job.inputs
            job.rows = [(np.array([len(one)], np.float32),)]
            job.queue_seconds, job.inference_seconds = 1.0, 2.0
            job.done(None)

    @property
    def lengths(self) -> list[int]:
        return [len(job.inputs[0]) for job in self.out]


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.loop.close()


def test_in_quiet_times_rows_keep_the_runners_busy(bench: Bench) -> None:
    job = bench.ask(*[30] * 10)
    assert bench.lengths == [30] * 4  # the first ones, which fill AHEAD
    bench.compute(2)
    assert bench.lengths == [30] * 4
    while bench.out:
        bench.compute()
    assert bench.answers == [None]
    assert [row[0][0] for row in job.rows if row is not None] == [30] * 10
    assert (job.queue_seconds, job.inference_seconds) == (10.0, 20.0)


def test_rows_come_back_to_their_places(bench: Bench) -> None:
    job = bench.ask(5, 6, 7)
    bench.out.reverse()
    bench.compute(3)
    assert [row[0][0] for row in job.rows if row is not None] == [5, 6, 7]


def test_nothing_goes_beside_a_request(bench: Bench) -> None:
    bench.live.taken_by_all = bench.live.entered_by_all = 1
    bench.ask(30, 30)
    bench.passes(LONGEST_WAIT_SECONDS / 2)
    assert bench.lengths == []
    bench.live.taken_by_all = 0
    bench.passes(2 * LOOK_SECONDS)
    assert bench.lengths == [30, 30]


def test_after_a_request_a_portion_goes_at_a_time(bench: Bench) -> None:
    bench.live.entered_by_all = 1  # it came and went between two looks at the load
    bench.ask(*[PORTION_TOKENS // 2] * 6, 3 * PORTION_TOKENS)
    assert len(bench.out) == 2
    bench.compute(2, seconds=0.1)
    assert bench.out == []  # pays off the time that it took
    bench.passes(0.09)
    assert bench.out == []
    bench.passes(0.02)
    assert len(bench.out) == 2
    bench.passes(QUIET_SECONDS)
    assert len(bench.out) == 4  # AHEAD has no room for more


def test_a_portion_goes_now_and_then_whatever_the_requests(bench: Bench) -> None:
    bench.live.taken_by_all = bench.live.entered_by_all = 1
    bench.ask(*[200] * 5)
    for _ in range(5):
        bench.passes(LONGEST_WAIT_SECONDS * 0.9)
        assert bench.out == []
        bench.passes(LONGEST_WAIT_SECONDS * 0.2)
        assert bench.lengths == [200]
        bench.compute()
    assert bench.answers == [None]


def test_the_first_error_answers_a_job(bench: Bench) -> None:
    bench.ask(60, 60, 60)
    error = BackendFailed("Backend error: no")
    bench.out.pop(0).done(error)
    bench.out.pop(0).done(error)
    assert bench.answers == [error]
    assert bench.out == []  # nothing else of it is computed
    bench.ask(5)
    bench.compute()
    assert bench.answers == [error, None]


def test_a_worker_that_has_ended_answers_a_job(bench: Bench) -> None:
    bench.refuses = BackendFailed("Backend error: gone")
    bench.ask(60, 60, 60)
    assert bench.answers == [bench.refuses]


def test_an_abandoned_job_is_dropped(bench: Bench) -> None:
    job = bench.ask(60, 60, 60, 60)
    job.abandoned = True
    bench.compute(2)
    assert bench.out == []
