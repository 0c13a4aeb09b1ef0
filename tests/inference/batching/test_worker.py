"""Which rows share a run, in which order, and how their answers come back."""

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from app.errors import BackendFailed
from app.inference.batching.queue import OLDEST_EVERY
from app.inference.batching.runner_pool import RunOptions
from app.inference.batching.worker import BatchWorker
from app.model.batch import Batch, BatchLimits
from app.telemetry.metrics import Metrics
from tests.support.steering import PADDING, Bench, Outcome, loop_in_thread, make_bench, submit


def test_what_arrives_during_a_run_shares_the_next_one(bench: Bench) -> None:
    first = bench.submit((3, 1))
    assert bench.session.next_batch() == [1]
    others = [bench.submit((3, 2)), bench.submit((4, 3), (5, 4))]
    bench.session.finish()
    assert first.wait() == [1]
    assert bench.session.next_batch() == [2, 3, 4]
    bench.session.finish()
    assert [one.wait() for one in others] == [[2], [3, 4]]


def test_rows_come_back_in_the_order_of_their_request(bench: Bench) -> None:
    blocker = bench.submit((1, 1))
    bench.session.next_batch()
    mixed = bench.submit((80, 5), (3, 6), (81, 7), (4, 8))  # 5 and 7 are too long to share a run
    for _ in range(4):
        bench.session.finish()
    assert blocker.wait() == [1]
    assert mixed.wait() == [5, 6, 7, 8]


def test_unlike_lengths_run_apart(bench: Bench) -> None:
    bench.submit((1, 1))
    bench.session.next_batch()
    bench.submit((3, 2), (90, 3), (4, 4))
    bench.session.finish()
    assert bench.session.next_batch() in ([2, 4], [3])
    bench.session.finish()
    assert bench.session.next_batch() in ([2, 4], [3])
    bench.session.finish()


def test_the_token_budget_bounds_a_batch(bench: Bench) -> None:
    bench.submit((1, 1))
    bench.session.next_batch()
    bulk = bench.submit(*((40, i) for i in range(5)))
    for _ in range(4):
        bench.session.finish()
    sizes = [len(bench.session.next_batch()) for _ in range(3)]
    assert sizes == [2, 2, 1]
    assert bulk.wait() == [0, 1, 2, 3, 4]


def test_a_query_passes_a_bulk_request(bench: Bench) -> None:
    bench.submit((1, 1))
    bench.session.next_batch()
    bench.submit(*((50, 10) for _ in range(20)))
    query = bench.submit((50, 99))
    bench.session.finish()
    assert 99 in bench.session.next_batch()
    bench.session.finish()
    assert query.wait() == [99]
    for _ in range(12):
        bench.session.finish()


def test_a_bulk_request_is_served_between_queries(bench: Bench) -> None:
    """Queries keep coming, one for each run; the bulk of another length still gets its turn."""
    bench.submit((1, 1))
    bench.session.next_batch()
    bulk = bench.submit((90, 7), (91, 7))
    seen: list[list[int]] = []
    for place in range(2 * OLDEST_EVERY):
        bench.submit((2, 100 + place))
        bench.session.finish()
        seen.append(bench.session.next_batch())
    bench.session.finish()
    assert seen.count([7]) == 2
    assert bulk.wait() == [7, 7]


def test_one_batch_serves_jobs_of_several_outputs(bench: Bench) -> None:
    bench.submit((1, 1))
    bench.session.next_batch()
    one, other = bench.submit((3, 2)), bench.submit((3, 3), output="other")
    bench.session.finish()
    bench.session.finish()
    assert one.wait() == [2]
    assert other.wait() == [-3]


def test_an_abandoned_job_is_never_computed(bench: Bench) -> None:
    first = bench.submit((3, 1))
    bench.session.next_batch()
    gone, stays = bench.submit((3, 2), (3, 3)), bench.submit((3, 4))
    gone.job.abandoned = True
    bench.session.finish()
    assert first.wait() == [1]
    assert bench.session.next_batch() == [4]
    bench.session.finish()
    assert stays.wait() == [4]
    assert 'te_request_failure{err="dropped"} 2' in bench.metrics.render()


def test_two_run_threads_run_side_by_side(loop: asyncio.AbstractEventLoop) -> None:
    bench = make_bench(loop, options=RunOptions(threads=2))
    one, other = bench.submit((3, 1)), bench.submit((90, 2))
    assert {tuple(bench.session.next_batch()), tuple(bench.session.next_batch())} == {(1,), (2,)}
    bench.session.finish()
    bench.session.finish()
    assert (one.wait(), other.wait()) == ([1], [2])


def test_closing_computes_what_was_submitted_and_refuses_the_rest(bench: Bench) -> None:
    running = bench.submit((3, 1))
    bench.session.next_batch()
    waiting = bench.submit((3, 2))
    closing = threading.Thread(target=bench.worker.close)
    closing.start()
    bench.session.finish()
    bench.session.finish()
    closing.join(60)
    assert not closing.is_alive()
    assert (running.wait(), waiting.wait()) == ([1], [2])
    with pytest.raises(BackendFailed, match="shutting down"):
        bench.submit((3, 3))
    assert not bench.worker.healthy


def test_answers_for_a_closed_event_loop_do_not_hurt(bench: Bench) -> None:
    closed = asyncio.new_event_loop()
    closed.close()
    orphan = bench.submit((3, 1))
    orphan.job.loop = closed
    bench.session.finish()
    after = bench.submit((3, 2))
    bench.session.finish()
    assert after.wait() == [2]


def test_queue_and_inference_times_are_kept_apart(bench: Bench) -> None:
    first = bench.submit((3, 1))
    bench.session.next_batch()
    second = bench.submit((3, 2))
    bench.session.finish()
    bench.session.finish()
    first.wait()
    second.wait()
    assert second.job.queue_seconds > 0
    assert second.job.inference_seconds > 0
    text = bench.metrics.render()
    assert "te_batch_next_size_count 2" in text
    assert "te_batch_next_tokens_sum 6" in text
    assert "te_queue_size 0" in text


def test_a_thousand_jobs_from_many_threads_all_come_back(
    loop: asyncio.AbstractEventLoop,
) -> None:
    bench = make_bench(loop, options=RunOptions(threads=2))
    for _ in range(3000):
        bench.session.finish()
    outcomes: list[Outcome] = []

    def submit(start: int) -> None:
        outcomes.extend(bench.submit((1 + i % 60, i)) for i in range(start, start + 250))

    threads = [threading.Thread(target=submit, args=(250 * i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for outcome in outcomes:
        assert outcome.wait() == [float(outcome.job.inputs[0].input_ids[0])]


SHAPES: dict[str, Any] = {"lengths": (4, 8), "row_counts": (1, 2)}


def test_rows_are_padded_to_a_known_length(loop: asyncio.AbstractEventLoop) -> None:
    bench = make_bench(loop, **SHAPES)
    bench.submit((1, 9))
    assert bench.session.next_batch() == [9]
    bench.submit((5, 1), (6, 2), (7, 3))
    bench.session.finish()
    assert bench.session.started.get(timeout=60).input_ids.shape == (2, 8)
    bench.session.finish()
    assert bench.session.started.get(timeout=60).input_ids.shape == (1, 8)
    bench.session.finish()


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
    bench = make_bench(loop, options=RunOptions(threads=1, lone_threads=1))
    bulk = bench.submit(*[(50, 1)] * 5)
    assert bench.session.next_batch() == [1, 1]
    pair = bench.submit((40, 5), (40, 6))  # not alone: it waits for a run, as bulk does
    query = bench.submit((50, 2))
    assert bench.session.next_batch() == [2]  # by itself, though rows of its length wait
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
    bench = make_bench(loop, options=RunOptions(threads=1, lone_threads=1))
    queries = [bench.submit((3, 1))]
    assert bench.session.next_batch() == [1]
    bulk = bench.submit(*[(50, 2)] * 2)
    assert bench.session.next_batch() == [2, 2]  # whichever runner the query has
    bench.session.finish()
    bench.session.finish()
    assert [one.wait() for one in (*queries, bulk)] == [[1], [2, 2]]


def test_queries_beside_a_bulk_request_share_a_batch(loop: asyncio.AbstractEventLoop) -> None:
    bench = make_bench(loop, options=RunOptions(threads=1, lone_threads=1))
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
    bench = make_bench(loop, options=RunOptions(threads=2, lone_threads=1, one_long=True))
    long = [bench.submit((200, 1)), bench.submit((300, 2))]
    assert bench.session.next_batch() == [1]
    bulk = bench.submit((40, 3), (40, 4))
    query = bench.submit((70, 5))
    short = [bench.session.next_batch(), bench.session.next_batch()]
    assert sorted(short) == [[3, 4], [5]]
    for _ in range(3):
        bench.session.finish()
    assert bench.session.next_batch() == [2]  # once the first is over
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
    """Answers at once: for each row its first id, or the negative of it."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, int]] = []

    def run(self, batch: Batch, outputs: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        rows, length = batch.input_ids.shape
        self.shapes.append((rows, length))
        firsts = batch.input_ids[:, :1].astype(np.float32)
        return {name: firsts * (1 if name == "out" else -1) for name in outputs}

    def terminate(self, thread: int) -> None:
        """A run is over before anybody could ask."""


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
        lone_threads=st.integers(0, 2),
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
