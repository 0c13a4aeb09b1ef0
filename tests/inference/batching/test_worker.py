"""Batches of the worker: which rows share a run, in which order, and the way back of answers."""

import asyncio
import threading
from typing import Any

import pytest

from app.errors import BackendFailed
from app.inference.batching.queue import OLDEST_EVERY
from app.inference.batching.runner_pool import RunOptions
from tests.support.steering import Bench, Outcome, make_bench


def test_requests_that_arrive_during_a_run_share_the_next_one(bench: Bench) -> None:
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
    """Queries keep coming, one for each run; bulk of another length still gets its turn."""
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
