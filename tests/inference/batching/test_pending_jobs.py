"""Pending jobs: which of their rows are still needed, and what ends them."""

import asyncio
from collections.abc import Iterator

import numpy as np
import pytest

from app.errors import BackendFailed, ServiceError
from app.inference.batching.job import Job
from app.inference.batching.pending_jobs import Pending
from app.inference.batching.runner import FailureCount, Finished, Run, Runner
from app.model.batch import BatchLimits, TokenizedInput
from app.model.names import SENTENCE_EMBEDDING, TOKEN_EMBEDDINGS
from app.telemetry.metrics import Metrics
from tests.support.steering import PADDING, SteeredSession

ERROR = BackendFailed("Backend error: no")


class Loop:
    """An event loop of one job, which records its outcomes in order."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.heard: list[ServiceError | None] = []

    def job(self, lengths: tuple[int, ...], *outputs: str) -> Job:
        inputs = [TokenizedInput(np.ones(length, np.int64)) for length in lengths]
        return Job(inputs, outputs or (SENTENCE_EMBEDDING,), self.loop, self.hear)

    def hear(self, error: ServiceError | None) -> None:
        self.heard.append(error)

    def outcomes(self) -> list[ServiceError | None]:
        self.loop.run_until_complete(asyncio.sleep(0))
        return self.heard


@pytest.fixture
def loop() -> Iterator[Loop]:
    made = Loop()
    yield made
    made.loop.close()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def pending(metrics: Metrics) -> Pending:
    return Pending(BatchLimits(10_000), metrics)


def run_of(job: Job, *places: int) -> Run:
    return Run([(job, place) for place in places], job.outputs, FailureCount(1))


def finished(run: Run, values: list[list[float]], mask: list[list[int]] | None = None) -> Finished:
    runner = Runner(SteeredSession(), PADDING, lambda _: None)
    results = {run.outputs[0]: np.array(values, np.float32)}
    attention = None if mask is None else np.array(mask)
    return Finished(runner, run, results, attention, None, started=0.0, seconds=0.5)


def test_a_job_is_answered_with_its_last_row(loop: Loop, pending: Pending) -> None:
    job = loop.job((1, 2))
    pending.add(job)
    pending.store(finished(run_of(job, 1), [[2.0]]))
    assert (loop.outcomes(), bool(pending)) == ([], True)
    pending.store(finished(run_of(job, 0), [[1.0]]))
    assert (loop.outcomes(), bool(pending)) == ([None], False)
    assert [float(row[0][0]) for row in job.rows if row is not None] == [1.0, 2.0]
    assert job.inference_seconds == 1.0


def test_a_token_s_row_has_no_padding(loop: Loop, pending: Pending) -> None:
    job = loop.job((2,), TOKEN_EMBEDDINGS)
    pending.add(job)
    pending.store(finished(run_of(job, 0), [[1.0, 2.0, 9.0]], [[1, 1, 0]]))
    [row] = job.rows
    assert row is not None
    assert row[0].tolist() == [1.0, 2.0]


def test_a_job_may_need_several_outputs_of_one_run(loop: Loop, pending: Pending) -> None:
    job = loop.job((2,), TOKEN_EMBEDDINGS, SENTENCE_EMBEDDING)
    pending.add(job)
    run = Run([(job, 0)], job.outputs, FailureCount(1))
    results = {
        SENTENCE_EMBEDDING: np.array([[5.0]], np.float32),
        TOKEN_EMBEDDINGS: np.array([[1.0, 2.0, 9.0]], np.float32),
    }
    runner = Runner(SteeredSession(), PADDING, lambda _: None)
    pending.store(Finished(runner, run, results, np.array([[1, 1, 0]]), None, 0.0, 0.5))
    [row] = job.rows
    assert row is not None
    assert [values.tolist() for values in row] == [[1.0, 2.0], [5.0]]


def test_a_failure_answers_its_jobs_once_and_frees_their_waiting_rows(
    loop: Loop, pending: Pending
) -> None:
    job = loop.job((1, 2))
    pending.add(job)
    pending.fail([(job, 0), (job, 1)], ERROR)
    assert loop.outcomes() == [ERROR]
    assert len(pending.waiting) == 0
    pending.store(finished(run_of(job, 0), [[1.0]]))  # already being computed
    assert loop.outcomes() == [ERROR]


def test_abandoned_rows_are_dropped_and_counted(
    loop: Loop, pending: Pending, metrics: Metrics
) -> None:
    gone, here = loop.job((1, 2)), loop.job((3,))
    pending.add(gone)
    pending.add(here)
    gone.abandoned = True
    pending.drop_abandoned()
    assert len(pending.waiting) == 1
    assert 'te_request_failure{err="dropped"} 2' in metrics.render()
    assert pending.wanted(Run([(gone, 0), (here, 0)], [SENTENCE_EMBEDDING], FailureCount(1))) == [
        (here, 0)
    ]


def test_the_end_answers_pending_and_late_jobs(loop: Loop, pending: Pending) -> None:
    pending.add(loop.job((1,)))
    pending.end([loop.job((2,))], ERROR)
    assert loop.outcomes() == [ERROR, ERROR]
