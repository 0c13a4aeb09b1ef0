"""Arrivals, departures and waiting: no row is lost, taken twice or starved."""

import asyncio
from collections.abc import Iterator, Sequence
from itertools import cycle
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.errors import ServiceError
from app.inference.batching.job import Job
from app.inference.batching.queue import OLDEST_EVERY, Waiting
from app.model.batch import RUN_COST, BatchLimits, TokenizedInput, ladder

LIMITS = [
    BatchLimits(64),
    BatchLimits(200, max_rows=3),
    BatchLimits(256, lengths=ladder(64), row_counts=(1, 2, 4)),
]


class Take(NamedTuple):
    """Take a batch by these rules."""

    longest: int | None
    single_input: bool


ANY = Take(None, single_input=False)
# Lengths of an arriving job's inputs, a batch, or the number of a job whose client leaves.
EVENTS = st.lists(
    st.lists(st.integers(1, 80), min_size=1, max_size=6)
    | st.just(ANY)
    | st.builds(Take, st.none() | st.integers(1, 90), st.booleans())
    | st.integers(0, 9),
    max_size=40,
)


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    made = asyncio.new_event_loop()
    yield made
    made.close()


def ignore(error: ServiceError | None) -> None:
    """Ignore the outcome of a job."""


class Queue:
    """Rows that wait, with a model of what must become of them."""

    def __init__(self, limits: BatchLimits, loop: asyncio.AbstractEventLoop) -> None:
        self.waiting = Waiting(limits)
        self.limits = limits
        self.left: dict[Job, set[int]] = {}  # rows of each job that are not taken yet
        self.patience: dict[Job, int] = {}  # by how many batches each must be served
        self._loop = loop
        self._arrivals = 0

    def add(self, lengths: Sequence[int]) -> None:
        inputs = [TokenizedInput(np.zeros(length, np.int64)) for length in lengths]
        job = Job(inputs, ("out",), self._loop, ignore)
        job.arrival = self._arrivals
        self._arrivals += 1
        self.waiting.add(job)
        self.left[job] = set(range(len(lengths)))
        self._be_patient(job)

    def remove(self, number: int) -> None:
        if self.left:
            job = list(self.left)[number % len(self.left)]
            self.waiting.remove(job)
            del self.left[job]

    def take(self, longest: int | None = None, *, single_input: bool = False) -> None:
        rows = self.waiting.take(longest, single_input=single_input)
        eligible = [
            len(job.inputs[place])
            for job, places in self.left.items()
            for place in places
            if len(job.inputs) == 1 or not single_input
        ]
        assert bool(rows) == any(length <= (longest or length) for length in eligible)
        if not rows:
            return
        assert all(len(job.inputs[place]) in eligible for job, place in rows)
        lengths = [len(job.inputs[place]) for job, place in rows]
        assert self.limits.fits(len(rows), max(lengths))
        assert self.limits.rows(len(rows)) == len(rows)
        padding = len(lengths) * self.limits.padded(max(lengths)) - sum(lengths)
        alone = max(self.limits.padded(length) - length for length in lengths)
        assert RUN_COST + padding <= (RUN_COST + alone) * len(lengths)  # no worse than apart
        assert max(lengths) <= (longest or max(lengths))
        assert not single_input or all(len(job.inputs) == 1 for job, _ in rows)
        for job in self.left:  # batches that exclude some jobs promise nothing
            self.patience[job] -= (longest, single_input) == (None, False)
        for job, place in rows:
            self.left[job].remove(place)  # KeyError if it was taken before, or should not be
        for job in {job for job, _ in rows}:
            self._be_patient(job)
        self.left = {job: places for job, places in self.left.items() if places}
        assert all(self.patience[job] > 0 for job in self.left)

    def _be_patient(self, job: Job) -> None:
        # Each job that waits now may be the oldest before this one is.
        self.patience[job] = OLDEST_EVERY * (len(self.left) + 1)


@settings(max_examples=200)
@given(limits=st.sampled_from(LIMITS), events=EVENTS)
def test_every_row_is_taken_once_in_a_batch_that_fits(
    loop: asyncio.AbstractEventLoop, limits: BatchLimits, events: list[list[int] | int | Take]
) -> None:
    queue = Queue(limits, loop)
    for event in events:
        if isinstance(event, Take):
            queue.take(event.longest, single_input=event.single_input)
        elif isinstance(event, int):
            queue.remove(event)
        else:
            queue.add(event)
        assert len(queue.waiting) == sum(map(len, queue.left.values()))
    while queue.left:
        queue.take()
    assert not len(queue.waiting)


@settings(max_examples=50)
@given(
    jobs=st.lists(
        st.tuples(
            st.sampled_from(["", "query", "document"]),
            st.lists(st.integers(1, 80), min_size=1, max_size=6),
        ),
        min_size=1,
        max_size=8,
    )
)
def test_rows_of_different_routes_are_never_in_one_batch(
    loop: asyncio.AbstractEventLoop, jobs: list[tuple[str, list[int]]]
) -> None:
    waiting = Waiting(BatchLimits(max_tokens=512))
    for arrival, (route, lengths) in enumerate(jobs):
        inputs = [TokenizedInput(np.zeros(length, np.int64)) for length in lengths]
        waiting.add(Job(inputs, ("out",), loop, ignore, arrival=arrival, route=route))
    taken = 0
    while rows := waiting.take():
        assert len({job.route for job, _ in rows}) == 1
        taken += len(rows)
    assert taken == sum(len(lengths) for _, lengths in jobs)


@settings(max_examples=30)
@given(
    bulk=st.lists(st.integers(1, 80), min_size=2, max_size=20),
    queries=st.lists(st.integers(1, 80), min_size=1, max_size=5),
)
def test_queries_that_never_end_do_not_starve_a_bulk_request(
    loop: asyncio.AbstractEventLoop, bulk: list[int], queries: list[int]
) -> None:
    queue = Queue(BatchLimits(80), loop)
    queue.add(bulk)
    [first] = queue.left
    for length in cycle(queries):
        if first not in queue.left:
            break
        queue.add([length])
        queue.take()  # fails if the bulk request waits for too long


@settings(max_examples=100)
@given(
    jobs=st.lists(
        st.tuples(st.booleans(), st.lists(st.integers(1, 80), min_size=1, max_size=6)),
        min_size=1,
        max_size=12,
    ),
    single_input=st.booleans(),
)
def test_low_priority_rows_run_alone_and_when_nothing_else_may(
    loop: asyncio.AbstractEventLoop, jobs: list[tuple[bool, list[int]]], single_input: bool
) -> None:
    waiting = Waiting(BatchLimits(max_tokens=512))
    left = {}
    for arrival, (gives_way, lengths) in enumerate(jobs):
        inputs = [TokenizedInput(np.zeros(length, np.int64)) for length in lengths]
        job = Job(inputs, ("out",), loop, ignore, arrival=arrival, gives_way=gives_way)
        waiting.add(job)
        left[job] = len(lengths)
    tokens = sum(sum(lengths) for gives_way, lengths in jobs if not gives_way)
    assert waiting.tokens() == tokens
    while rows := waiting.take(single_input=single_input):
        [gives_way] = {job.gives_way for job, _ in rows}
        assert not gives_way or all(job.gives_way for job, count in left.items() if count)
        assert not (gives_way and single_input)  # not on the runner kept for queries
        for job, place in rows:
            left[job] -= 1
            tokens -= 0 if gives_way else len(job.inputs[place])
        assert waiting.tokens() == tokens
    assert single_input or not any(left.values())
    for job in left:
        waiting.remove(job)
    assert waiting.tokens() == 0
