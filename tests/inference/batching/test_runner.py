"""Runners: a run is computed, and its outcome reported, whatever it is."""

import asyncio
from collections.abc import Callable, Iterator
from queue import SimpleQueue

import numpy as np
import pytest

from app.inference.batching.job import Job
from app.inference.batching.runner import FailureCount, Finished, Run, Runner
from app.model.batch import BatchLimits, TokenizedInput, blank
from app.model.names import SENTENCE_EMBEDDING
from tests.support.faulty_sessions import EXITS, MISSHAPEN, NOTHING, RAISES, FaultySession
from tests.support.steering import PADDING

OUTPUTS = [SENTENCE_EMBEDDING]


@pytest.fixture
def compute(faulty: FaultySession) -> Iterator[Callable[[Run], Finished]]:
    """Hand a runner one run, and wait for its report."""
    reports: SimpleQueue[Finished] = SimpleQueue()
    runner = Runner(faulty, PADDING, reports.put)
    runner.start("runner")

    def one(run: Run) -> Finished:
        runner.compute(run)
        return reports.get(timeout=300)

    yield one
    runner.end()


def rows(*firsts: int) -> list[tuple[Job, int]]:
    loop = asyncio.new_event_loop()
    loop.close()
    inputs = [TokenizedInput(np.array([first])) for first in firsts]
    job = Job(inputs, (SENTENCE_EMBEDDING,), loop, lambda _: None)
    return [(job, place) for place in range(len(firsts))]


def test_rows_are_collated_and_their_results_reported(compute: Callable[[Run], Finished]) -> None:
    run = Run(rows(5, 6), OUTPUTS, FailureCount(1), length=3)
    found = compute(run)
    assert found.error is None
    assert found.run is run
    assert found.results[SENTENCE_EMBEDDING][:, 0].tolist() == [5, 6]
    assert found.attention_mask is not None
    assert found.attention_mask.tolist() == [[1, 0, 0], [1, 0, 0]]
    assert found.seconds >= 0


@pytest.mark.parametrize("fault", [RAISES, EXITS, MISSHAPEN, NOTHING])
def test_a_failure_is_reported_and_the_next_run_is_computed(
    compute: Callable[[Run], Finished], fault: int
) -> None:
    assert compute(Run(rows(fault), OUTPUTS, FailureCount(1))).error is not None
    assert compute(Run(rows(5), OUTPUTS, FailureCount(1))).error is None


def test_a_run_has_the_shape_of_its_rows_or_of_its_batch() -> None:
    assert Run(rows(5, 6), OUTPUTS, FailureCount(1), length=8).shape == (2, 8)
    assert Run([], OUTPUTS, FailureCount(1), batch=blank(3, 4, PADDING)).shape == (3, 4)


def test_a_run_computes_every_output_that_one_of_its_rows_needs() -> None:
    loop = asyncio.new_event_loop()
    loop.close()
    inputs = [TokenizedInput(np.array([1, 2]))]
    wanted = [("a",), ("b", "a"), ("c",)]
    jobs = [Job(inputs, outputs, loop, lambda _: None) for outputs in wanted]
    run = Run.of([(job, 0) for job in jobs], FailureCount(1), BatchLimits(10))
    assert (run.outputs, run.length) == (("a", "b", "c"), 2)


@pytest.mark.parametrize(("firsts", "is_single_input"), [((5,), True), ((5, 6), False)])
def test_a_run_is_lone_where_all_of_its_inputs_came_alone(
    firsts: tuple[int, ...], is_single_input: bool
) -> None:
    assert Run(rows(*firsts), OUTPUTS, FailureCount(1)).is_single_input == is_single_input
