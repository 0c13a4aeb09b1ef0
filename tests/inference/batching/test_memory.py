"""Batches that do not fit into memory."""

import asyncio

import pytest

from app.errors import OutOfMemory
from app.inference.batching.runner_pool import RunOptions
from app.inference.batching.worker import BatchWorker
from app.model.batch import BatchLimits
from app.telemetry.metrics import Metrics
from tests.support.faulty_sessions import FaultySession, together
from tests.support.steering import PADDING, Bench, submit


def test_everyone_is_answered_although_the_batch_did_not_fit(
    loop: asyncio.AbstractEventLoop, caplog: pytest.LogCaptureFixture
) -> None:
    session = FaultySession(memory=32)
    metrics = Metrics()
    worker = BatchWorker([session], PADDING, BatchLimits(10_000), metrics, RunOptions())
    outcomes = [submit(worker, loop, (4, i)) for i in range(32)]
    worker.start()
    assert [outcome.wait() for outcome in outcomes] == [[i] for i in range(32)]
    assert [len(run) for run in session.runs] == [32, 16, 8, 8, 16, 8, 8]
    assert worker.healthy
    lines = [text for text in caplog.messages if text.startswith("out of memory")]
    assert lines == [
        f"out of memory: from now on a batch holds at most {tokens} tokens" for tokens in (64, 32)
    ]
    text = metrics.render()
    assert "te_batch_max_tokens 32\n" in text
    assert "te_out_of_memory 3\n" in text


def test_a_batch_that_did_not_fit_is_not_tried_again(loop: asyncio.AbstractEventLoop) -> None:
    session = FaultySession(memory=32)
    worker, first = together(session, loop, range(16))
    for outcome in first:
        outcome.wait()
    session.runs.clear()
    again = submit(worker, loop, *((3, i) for i in range(40)))
    assert again.wait() == list(range(40))
    assert [len(run) for run in session.runs] == [8, 8, 8, 8, 8]  # half of 16 × 3 tokens


def test_one_input_that_does_not_fit_fails_alone(loop: asyncio.AbstractEventLoop) -> None:
    metrics = Metrics()
    worker = BatchWorker(
        [FaultySession(memory=32)], PADDING, BatchLimits(60), metrics, RunOptions()
    )
    large, small = submit(worker, loop, (50, 1)), submit(worker, loop, (40, 2), (3, 3))
    lucky = submit(worker, loop, (30, 4))
    worker.start()
    for outcome in (large, small):
        with pytest.raises(OutOfMemory, match="Failed to allocate"):
            outcome.wait()
    assert lucky.wait() == [4]
    worker.close()
    assert "te_batch_max_tokens" not in metrics.render()  # one input tells nothing of batches


def test_memory_that_is_always_lacking_does_not_keep_the_worker_busy(
    loop: asyncio.AbstractEventLoop,
) -> None:
    session = FaultySession(memory=0)
    worker, outcomes = together(session, loop, range(256))
    for outcome in outcomes:
        with pytest.raises(OutOfMemory):
            outcome.wait()
    assert len(session.runs) < 40
    assert not worker.healthy


def test_memory_that_runs_out_before_the_session_is_a_matter_of_size_too(bench: Bench) -> None:
    blocker = bench.submit((3, 1))
    bench.session.next_batch()
    first, second = bench.submit((3, 2)), bench.submit((3, 3))
    bench.session.finish()
    assert bench.session.next_batch() == [2, 3]
    for outcome in (MemoryError(), None, None):
        bench.session.finish(outcome)
    assert [blocker.wait(), first.wait(), second.wait()] == [[1], [2], [3]]
    assert "te_batch_max_tokens 3\n" in bench.metrics.render()
