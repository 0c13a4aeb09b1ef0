"""Concurrent run threads: which jobs share a run, and which have one of their own."""

import asyncio
from collections.abc import Sequence

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from app.inference.batching.runner_pool import RunOptions
from app.inference.batching.worker import BatchWorker
from app.model.batch import Batch, BatchLimits
from app.telemetry.metrics import Metrics
from tests.support.steering import PADDING, loop_in_thread, make_bench, submit


def test_two_run_threads_run_side_by_side(loop: asyncio.AbstractEventLoop) -> None:
    bench = make_bench(loop, options=RunOptions(threads=2))
    one, other = bench.submit((3, 1)), bench.submit((90, 2))
    assert {tuple(bench.session.next_batch()), tuple(bench.session.next_batch())} == {(1,), (2,)}
    bench.session.finish()
    bench.session.finish()
    assert (one.wait(), other.wait()) == ([1], [2])


def test_a_query_behind_a_bulk_request_waits_for_the_runs_in_flight_and_one_a_stream(
    loop: asyncio.AbstractEventLoop,
) -> None:
    streams = 2
    bench = make_bench(loop, options=RunOptions(threads=streams))
    bulk = bench.submit(*[(10, 1)] * 1000)
    for _ in range(streams):
        assert set(bench.session.next_batch()) == {1}
    query = bench.submit((10, 2))
    between = 0
    bench.session.finish()
    while 2 not in bench.session.next_batch():
        between += 1
        bench.session.finish()
    assert between <= streams
    bulk.job.abandoned = True
    for _ in range(streams):
        bench.session.finish()
    assert query.wait() == [2]


def test_a_query_is_computed_beside_a_bulk_request(loop: asyncio.AbstractEventLoop) -> None:
    bench = make_bench(loop, options=RunOptions(threads=1, single_input_threads=1))
    bulk = bench.submit(*[(50, 1)] * 5)
    assert bench.session.next_batch() == [1, 1]
    pair = bench.submit((40, 5), (40, 6))  # not alone: it waits for a run, like bulk
    query = bench.submit((50, 2))
    assert bench.session.next_batch() == [2]  # by itself, though rows of like length wait
    assert bench.session.started.empty()
    bench.session.finish()
    bench.session.finish()
    assert query.wait() == [2]
    seen = []
    for _ in range(3):
        seen.append(bench.session.next_batch())
        bench.session.finish()
    assert seen == [[5, 6], [1, 1], [1]]
    assert (pair.wait(), bulk.wait()) == ([5, 6], [1] * 5)


def test_queries_leave_a_bulk_request_its_run(loop: asyncio.AbstractEventLoop) -> None:
    bench = make_bench(loop, options=RunOptions(threads=1, single_input_threads=1))
    queries = [bench.submit((3, 1))]
    assert bench.session.next_batch() == [1]
    bulk = bench.submit(*[(50, 2)] * 2)
    assert bench.session.next_batch() == [2, 2]  # whichever runner the query uses
    bench.session.finish()
    bench.session.finish()
    assert [one.wait() for one in (*queries, bulk)] == [[1], [2, 2]]


def test_queries_beside_a_bulk_request_share_a_batch(loop: asyncio.AbstractEventLoop) -> None:
    bench = make_bench(loop, options=RunOptions(threads=1, single_input_threads=1))
    queries = [bench.submit((20, 2))]
    assert bench.session.next_batch() == [2]
    bench.submit(*[(50, 1)] * 2)
    assert bench.session.next_batch() == [1, 1]
    queries += [bench.submit((20, one)) for one in (3, 4)]
    bench.session.finish()
    assert bench.session.next_batch() == [3, 4]
    bench.session.finish()
    bench.session.finish()
    assert [one.wait() for one in queries] == [[2], [3], [4]]


def test_one_input_longer_than_a_batch_runs_at_a_time(loop: asyncio.AbstractEventLoop) -> None:
    bench = make_bench(loop, options=RunOptions(threads=2, single_input_threads=1, one_long=True))
    long = [bench.submit((200, 1)), bench.submit((300, 2))]
    assert bench.session.next_batch() == [1]
    bulk = bench.submit((40, 3), (40, 4))
    query = bench.submit((70, 5))
    short = [bench.session.next_batch(), bench.session.next_batch()]
    assert sorted(short) == [[3, 4], [5]]
    for _ in range(3):
        bench.session.finish()
    assert bench.session.next_batch() == [2]  # after the first has ended
    bench.session.finish()
    assert [one.wait() for one in (*long, query, bulk)] == [[1], [2], [5], [3, 4]]


def test_long_inputs_may_run_side_by_side_where_their_memory_does_not_matter(
    loop: asyncio.AbstractEventLoop,
) -> None:
    bench = make_bench(loop, options=RunOptions(threads=2))
    long = [bench.submit((200, 1)), bench.submit((300, 2))]
    assert sorted(bench.session.next_batch() + bench.session.next_batch()) == [1, 2]
    bench.session.finish()
    bench.session.finish()
    assert [one.wait() for one in long] == [[1], [2]]


class EchoSession:
    """A session that answers at once: each row's first id, or its negative."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, int]] = []

    def run(self, batch: Batch, outputs: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        rows, length = batch.input_ids.shape
        self.shapes.append((rows, length))
        firsts = batch.input_ids[:, :1].astype(np.float32)
        return {name: firsts * (1 if name == "out" else -1) for name in outputs}

    def terminate(self, thread: int) -> None:
        """Do nothing: a run ends before it could be told to."""


@settings(max_examples=50)
@given(
    requests=st.lists(
        st.tuples(
            st.lists(st.integers(1, 60), min_size=1, max_size=12), st.sampled_from(["out", "other"])
        ),
        min_size=1,
        max_size=12,
    ),
    options=st.builds(
        RunOptions,
        threads=st.integers(1, 3),
        single_input_threads=st.integers(0, 2),
        one_long=st.booleans(),
    ),
    max_tokens=st.sampled_from([40, 100]),
    max_rows=st.none() | st.integers(1, 5),
    early=st.integers(0, 12),
)
def test_every_request_gets_its_own_rows_in_its_own_order(
    requests: list[tuple[list[int], str]],
    options: RunOptions,
    max_tokens: int,
    max_rows: int | None,
    early: int,
) -> None:
    session, limits = EchoSession(), BatchLimits(max_tokens, max_rows)
    worker = BatchWorker([session], PADDING, limits, Metrics(), options)
    ids = iter(range(1, 1000))
    rows = [[(length, next(ids)) for length in lengths] for lengths, _ in requests]
    with loop_in_thread() as loop:
        outcomes = []
        for place, (_, output) in enumerate(requests):
            if place == early:
                worker.start()
            outcomes.append(submit(worker, loop, *rows[place], output=output))
        if early >= len(requests):
            worker.start()
        for outcome, asked, (_, output) in zip(outcomes, rows, requests, strict=True):
            sign = 1 if output == "out" else -1
            assert outcome.wait() == [sign * first for _, first in asked]
        worker.close()
    assert sum(count for count, _ in session.shapes) == sum(map(len, rows))
    assert all(limits.fits(*shape) for shape in session.shapes)
    assert all(limits.rows(count) == count for count, _ in session.shapes)
