"""Fault search: a failed batch is halved until each faulty input is alone."""

import asyncio
from collections.abc import Iterator

import numpy as np
import pytest

from app.errors import ServiceError
from app.inference.batching.fault_search import FaultSearch
from app.inference.batching.job import Job
from app.inference.batching.pending_jobs import Pending
from app.inference.batching.runner import FailureCount, Run
from app.model.batch import BatchLimits, TokenizedInput
from app.model.parts import Padding
from app.telemetry.metrics import Metrics

PADDING = Padding(0, 0, "right")
LIMITS = BatchLimits(64)
FAILURE = RuntimeError("no")


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    found = asyncio.new_event_loop()
    yield found
    found.close()


class Batch:
    """A batch of jobs with one input each, and their outcomes."""

    def __init__(self, loop: asyncio.AbstractEventLoop, size: int, limit: int = 99) -> None:
        self.loop = loop
        metrics = Metrics()
        self.pending = Pending(LIMITS, metrics)
        self.faults = FaultSearch(self.pending, PADDING, metrics)
        self.errors: dict[int, ServiceError | None] = {}
        for number in range(size):
            ids = TokenizedInput(np.array([number], np.int64))
            self.pending.add(Job([ids], ("logits",), loop, self.done(number)))
        self.run = Run.of(self.pending.waiting.take(), FailureCount(limit), LIMITS)

    def done(self, number: int):  # type: ignore[no-untyped-def]
        return lambda error: self.errors.__setitem__(number, error)

    def heard(self) -> dict[int, ServiceError | None]:
        """Return the answers of jobs once the loop has delivered them."""
        self.loop.run_until_complete(asyncio.sleep(0))
        return self.errors

    def numbers(self, run: Run) -> list[int]:
        return [int(job.inputs[index].input_ids[0]) for job, index in run.rows]


def test_a_batch_is_halved_until_the_input_at_fault_is_alone(
    loop: asyncio.AbstractEventLoop,
) -> None:
    batch, tried = Batch(loop, 4), []
    batch.faults.look(batch.run, FAILURE)
    while (part := batch.faults.next()) is not None:
        tried.append(batch.numbers(part))
        if 2 in tried[-1]:
            batch.faults.look(part, FAILURE)
    assert tried == [[0, 1], [2, 3], [2], [3]]
    assert list(batch.heard()) == [2]
    assert str(batch.errors[2]) == "Backend error: RuntimeError('no')"


def test_where_a_session_fails_without_any_input_the_whole_batch_does(
    loop: asyncio.AbstractEventLoop,
) -> None:
    batch = Batch(loop, 8, limit=2)
    batch.faults.look(batch.run, FAILURE)
    first = batch.faults.next()
    assert first is not None
    batch.faults.look(first, FAILURE)  # the second failure in a row
    blameless = batch.faults.next()
    assert blameless is not None
    assert not blameless.rows
    assert blameless.batch is not None
    batch.faults.look(blameless, FAILURE)
    assert batch.faults.next() is None
    assert sorted(batch.heard()) == list(range(8))


def test_parts_whose_callers_have_gone_are_not_computed(loop: asyncio.AbstractEventLoop) -> None:
    batch = Batch(loop, 2)
    batch.faults.look(batch.run, FAILURE)
    for job, _ in batch.run.rows:
        job.abandoned = True
    assert batch.faults.next() is None
