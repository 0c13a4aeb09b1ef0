"""Runners that hang: the first is replaced, the second ends the worker."""

import asyncio
import threading

import pytest

from app.errors import BackendFailed
from app.inference.batching.runner_pool import RunOptions
from app.inference.batching.worker import BatchWorker
from tests.support.faulty_sessions import HANGS, KILLS_ITS_THREAD, FaultySession, together
from tests.support.steering import make_bench, submit

IMPATIENT = RunOptions(timeout_seconds=0.05, grace_seconds=0.05)


def be_patient(worker: BatchWorker) -> None:
    """Allow later runs the time that a busy machine needs."""
    worker.options = RunOptions()


def test_a_run_that_ends_on_request_costs_only_its_jobs(
    loop: asyncio.AbstractEventLoop,
) -> None:
    bench = make_bench(loop, options=RunOptions(timeout_seconds=0.05, grace_seconds=30))
    doomed = bench.submit((3, 1))
    bench.session.next_batch()
    waiting = bench.submit((3, 2))
    with pytest.raises(BackendFailed, match=r"a run took longer than 0\.05 seconds"):
        doomed.wait()
    assert bench.session.terminated.get(timeout=60) == bench.session.threads.get()
    assert not bench.worker.healthy
    be_patient(bench.worker)
    bench.session.finish(BackendFailed("Backend error: terminated"))
    assert bench.session.next_batch() == [2]
    bench.session.finish()
    assert waiting.wait() == [2]
    assert bench.worker.healthy
    assert "te_run_timeouts 1" in bench.metrics.render()


@pytest.mark.parametrize("fault", [HANGS, KILLS_ITS_THREAD])
def test_a_runner_that_does_not_come_back_is_replaced(
    faulty: FaultySession, loop: asyncio.AbstractEventLoop, fault: int
) -> None:
    worker, [doomed] = together(faulty, loop, [fault], IMPATIENT)
    with pytest.raises(BackendFailed, match="longer than"):
        doomed.wait()
    be_patient(worker)
    waiting = submit(worker, loop, (3, 2))
    assert waiting.wait() == [2]
    assert worker.healthy
    faulty.release.set()  # a late result finds its runner replaced
    assert submit(worker, loop, (3, 4)).wait() == [4]
    assert worker.failure is None


def test_a_second_runner_that_does_not_come_back_ends_the_worker(
    faulty: FaultySession, loop: asyncio.AbstractEventLoop
) -> None:
    worker, [first] = together(faulty, loop, [HANGS], IMPATIENT)
    second, third = submit(worker, loop, (3, HANGS)), submit(worker, loop, (900, 1), (9_500, 2))
    for outcome in (first, second, third):
        with pytest.raises(BackendFailed):
            outcome.wait()
    assert worker.failure == (
        "the batching worker ended: two runs did not end when they were told to"
    )
    with pytest.raises(BackendFailed, match="two runs did not end"):
        submit(worker, loop, (3, 1))
    assert not worker.healthy


def test_closing_does_not_wait_for_a_run_that_hangs(
    faulty: FaultySession, loop: asyncio.AbstractEventLoop
) -> None:
    worker, [doomed] = together(faulty, loop, [HANGS], IMPATIENT)
    closing = threading.Thread(target=worker.close)
    closing.start()
    closing.join(60)
    assert not closing.is_alive()
    with pytest.raises(BackendFailed):
        doomed.wait()
    assert worker.failure is None
