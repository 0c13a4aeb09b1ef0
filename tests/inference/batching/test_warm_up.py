"""Warm-up: which shapes are learned when, without delaying jobs, and failures that harm none."""

import asyncio
import logging
import math
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from app.errors import BackendFailed, DeviceLost, OutOfMemory
from app.inference.batching import warm_up
from app.inference.batching.runner_pool import RunOptions
from app.inference.batching.warm_up import WarmUp
from app.model.batch import Batch
from tests.support.steering import PADDING, Bench, make_bench
from tools.process import eventually

SHAPES: dict[str, Any] = {"lengths": (4, 8), "row_counts": (1, 2)}
AT_ONCE = RunOptions(threads=2, quiet_seconds=0)
NEVER_QUIET = RunOptions(threads=2, quiet_seconds=3600)
LONE_FIRST = [(1, 4), (1, 8), (2, 4), (2, 8)]


def next_shape(bench: Bench) -> tuple[int, ...]:
    """Wait for a run to start."""
    return bench.session.started.get(timeout=10).input_ids.shape


def await_progress(bench: Bench, learned: int, wanted: int) -> None:
    """Wait until the worker has counted these shapes, which it does after each run."""
    warm = bench.worker.warm_up
    eventually(lambda: (warm.learned, warm.wanted) == (learned, wanted))


def close(bench: Bench, runs: int = 0) -> None:
    """Close the worker while `runs` runs are in flight; no run starts any more."""
    closing = threading.Thread(target=bench.worker.close)
    closing.start()
    for _ in range(runs):
        bench.session.finish()
    closing.join(10)
    assert not closing.is_alive()
    assert bench.session.started.empty()


def test_each_shape_is_learned_by_each_stream_one_run_at_a_time(
    loop: asyncio.AbstractEventLoop,
) -> None:
    bench = make_bench(loop, options=AT_ONCE, **SHAPES)
    seen = []
    for _ in range(8):
        seen.append(next_shape(bench))
        assert bench.session.started.empty()
        bench.session.finish()
    assert seen == [shape for shape in LONE_FIRST for _ in range(2)]
    answers = [bench.submit((60, 7)), bench.submit((90, 8))]  # both runners are idle again
    assert sorted(bench.session.next_batch() + bench.session.next_batch()) == [7, 8]
    await_progress(bench, 4, 4)
    close(bench, runs=2)
    assert [one.wait() for one in answers] == [[7], [8]]


def test_a_query_is_computed_beside_a_shape_that_is_learned(
    loop: asyncio.AbstractEventLoop,
) -> None:
    bench = make_bench(loop, options=AT_ONCE, **SHAPES)
    assert next_shape(bench) == (1, 4)
    answer = bench.submit((3, 7))
    assert bench.session.next_batch() == [7]
    close(bench, runs=2)
    assert answer.wait() == [7]


def test_jobs_that_wait_go_before_any_further_shape(loop: asyncio.AbstractEventLoop) -> None:
    bench = make_bench(loop, options=AT_ONCE, **SHAPES)
    assert next_shape(bench) == (1, 4)
    first = bench.submit((60, 7))
    assert bench.session.next_batch() == [7]
    others = [bench.submit((70, 8)), bench.submit((90, 9))]  # too long to share a run
    seen = []
    for _ in range(2):
        bench.session.finish()
        seen += bench.session.next_batch()
    assert sorted(seen) == [8, 9]
    bench.session.finish()
    bench.session.finish()
    assert [one.wait() for one in (first, *others)] == [[7], [8], [9]]
    assert next_shape(bench) == (1, 4)  # the second stream continues
    close(bench, runs=1)


def test_no_shape_is_learned_until_requests_have_paused(
    loop: asyncio.AbstractEventLoop,
) -> None:
    bench = make_bench(loop, options=NEVER_QUIET, **SHAPES)
    for _ in range(3):
        answer = bench.submit((50, 7))
        assert bench.session.next_batch() == [7]
        bench.session.finish()
        assert answer.wait() == [7]
    await_progress(bench, 0, 4)
    bench.worker.options = AT_ONCE
    bench.submit((50, 7))
    assert bench.session.next_batch() == [7]
    bench.session.finish()
    assert next_shape(bench) == (1, 4)
    close(bench, runs=1)


def test_shapes_that_requests_ran_are_not_learned_again(loop: asyncio.AbstractEventLoop) -> None:
    bench = make_bench(loop, options=NEVER_QUIET, **SHAPES)
    for rows in [[(3, 7)]] * 2 + [[(8, 7), (7, 7)]] * 2 + [[(8, 7)]]:
        answer = bench.submit(*rows)
        assert set(bench.session.next_batch()) == {7}
        bench.session.finish()
        answer.wait()
    await_progress(bench, 2, 4)
    bench.worker.options = AT_ONCE
    bench.submit((50, 7))
    assert bench.session.next_batch() == [7]
    bench.session.finish()
    seen = []
    for _ in range(3):
        seen.append(next_shape(bench))
        bench.session.finish()
    assert seen == [(1, 8), (2, 4), (2, 4)]  # one stream may still lack the first of them
    bench.submit((50, 7))
    assert bench.session.next_batch() == [7]
    await_progress(bench, 4, 4)
    bench.session.finish()


@pytest.mark.parametrize("error", [RuntimeError("no"), OutOfMemory("Backend error: no memory")])
def test_a_shape_that_fails_harms_no_request(
    loop: asyncio.AbstractEventLoop, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    bench = make_bench(loop, options=AT_ONCE, **SHAPES)
    for _ in range(2):
        assert next_shape(bench) == (1, 4)
        bench.session.finish()
    assert next_shape(bench) == (1, 8)
    beside = bench.submit((3, 7))
    assert bench.session.next_batch() == [7]
    bench.session.finish(error)
    bench.session.finish()
    assert beside.wait() == [7]
    await_progress(bench, 1, 1)  # the rest is left to requests
    assert bench.worker.healthy
    assert f"3 shapes are left to requests: {error!r}" in caplog.text
    assert "te_out_of_memory" not in bench.metrics.render()
    after = bench.submit((8, 9))
    assert bench.session.next_batch() == [9]
    bench.session.finish()
    assert after.wait() == [9]
    close(bench)


def test_a_device_that_is_lost_during_warm_up_ends_the_worker(
    loop: asyncio.AbstractEventLoop,
) -> None:
    bench = make_bench(loop, options=AT_ONCE, **SHAPES)
    next_shape(bench)
    answer = bench.submit((3, 7))
    bench.session.next_batch()
    bench.session.finish(DeviceLost("Backend error: the device is gone"))
    with pytest.raises(BackendFailed, match="the device is gone"):
        answer.wait()
    bench.session.finish()


def test_a_shape_that_hangs_is_given_up(loop: asyncio.AbstractEventLoop) -> None:
    options = replace(AT_ONCE, timeout_seconds=0.05, grace_seconds=30)
    bench = make_bench(loop, options=options, **SHAPES)
    next_shape(bench)
    assert bench.session.terminated.get(timeout=10) == bench.session.threads.get(timeout=10)
    bench.session.finish(BackendFailed("Backend error: terminated"))
    bench.worker.options = RunOptions()
    answer = bench.submit((3, 7))
    assert bench.session.next_batch() == [7]
    bench.session.finish()
    assert answer.wait() == [7]
    await_progress(bench, 0, 0)
    close(bench)


def test_the_only_runner_is_left_to_requests(loop: asyncio.AbstractEventLoop) -> None:
    bench = make_bench(loop, options=RunOptions(quiet_seconds=0), **SHAPES)
    await_progress(bench, 0, 0)
    answer = bench.submit((3, 7))
    assert bench.session.next_batch() == [7]
    bench.session.finish()
    assert answer.wait() == [7]
    close(bench)


def test_closing_waits_for_a_shape_that_runs_and_learns_no_more(
    loop: asyncio.AbstractEventLoop,
) -> None:
    bench = make_bench(loop, options=AT_ONCE, **SHAPES)
    next_shape(bench)
    close(bench, runs=1)
    await_progress(bench, 0, 0)


class Recorder:
    """A session that records shapes, answers anything, and may fail at one of them."""

    def __init__(self, fails_at: tuple[int, int] | None = None) -> None:
        self.fails_at = fails_at
        self.shapes: list[tuple[int, ...]] = []

    def run(self, batch: Batch, outputs: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        self.shapes.append(batch.input_ids.shape)
        if batch.input_ids.shape == self.fails_at:
            raise OutOfMemory("Backend error: no memory")
        return {name: np.zeros((len(batch.input_ids), 1), np.float32) for name in outputs}

    def terminate(self, thread: int) -> None:
        """Do nothing: no run takes long."""


def ticking(seconds: float) -> Iterator[float]:
    """Return a clock that moves on by this much each time it is read."""
    now = 0.0
    while True:
        yield now
        now += seconds


def test_a_start_learns_lone_inputs_first_then_the_cheapest(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    sessions = [Recorder(), Recorder()]
    shapes = [(1, 8), (1, 64), (2, 8), (2, 64), (4, 8), (4, 16)]
    warm = WarmUp(shapes, "out", PADDING, sessions)
    warm.at_start(math.inf)
    lone_first = [(1, 8), (1, 64), (2, 8), (4, 8), (4, 16), (2, 64)]
    assert sessions[0].shapes == sessions[1].shapes == lone_first
    assert warm.is_over
    assert (warm.learned, warm.wanted) == (6, 6)
    assert caplog.messages == ["Learned 6 of 6 shapes of a batch"]


def test_a_start_stops_when_its_time_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warm_up, "time", SimpleNamespace(monotonic=ticking(0.4).__next__))
    session = Recorder()
    warm = WarmUp(LONE_FIRST, "out", PADDING, [session])
    warm.at_start(1.0)
    assert session.shapes == [(1, 4), (1, 8)]
    assert (warm.learned, warm.wanted, warm.is_over) == (2, 4, False)


def test_a_start_goes_on_without_a_shape_that_fails(caplog: pytest.LogCaptureFixture) -> None:
    session = Recorder(fails_at=(1, 8))
    warm = WarmUp(LONE_FIRST, "out", PADDING, [session])
    warm.at_start(math.inf)
    assert session.shapes == [(1, 4), (1, 8)]
    assert (warm.learned, warm.wanted, warm.is_over) == (1, 1, True)
    assert "3 shapes are left to requests: OutOfMemory" in caplog.text


def test_where_every_shape_can_occur_there_is_nothing_to_learn(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    warm = WarmUp((), "out", PADDING, [Recorder()])
    warm.at_start()
    assert (warm.learned, warm.wanted, warm.is_over) == (0, 0, True)
    assert caplog.messages == []
