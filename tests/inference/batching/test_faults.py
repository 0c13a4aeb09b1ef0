"""Sessions that raise, hang, answer nonsense or kill their thread: nobody waits for ever."""

import asyncio
import ctypes
import threading
from collections.abc import Iterator, Sequence
from typing import cast

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from app.errors import BackendFailed, DeviceLost, OutOfMemory
from app.inference.batching.runner_pool import RunOptions
from app.inference.batching.worker import BatchWorker
from app.model.batch import Batch, BatchLimits, TokenizedInput
from app.telemetry.metrics import Metrics
from tests.support.steering import PADDING, Bench, Outcome, loop_in_thread, make_bench, submit

IMPATIENT = RunOptions(timeout_seconds=0.05, grace_seconds=0.05)
RAISES, EXITS, NOT_FINITE, MISSHAPEN, NOTHING = range(90, 95)
HANGS, KILLS_ITS_THREAD, LOSES_ITS_DEVICE = 95, 96, 97


class FaultySession:
    """An id in the range above, in any row, does to its run what the name says."""

    def __init__(self, memory: int = 100_000) -> None:
        self.memory = memory  # tokens of the largest batch that fits
        self.runs: list[list[int]] = []
        self.is_broken = False  # fails whatever it is asked
        self.release = threading.Event()  # runs that hang come back

    def run(self, batch: Batch, outputs: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        firsts = batch.input_ids[:, 0].tolist()
        self.runs.append(sorted(firsts))
        if batch.input_ids.size > self.memory:
            raise OutOfMemory("Backend error: Failed to allocate memory")
        if RAISES in firsts or self.is_broken:
            raise RuntimeError("cannot")
        if LOSES_ITS_DEVICE in firsts:
            raise DeviceLost("Backend error: CUDA failure 700: an illegal memory access")
        if EXITS in firsts:
            raise SystemExit(3)
        if HANGS in firsts:
            self.release.wait()
        if KILLS_ITS_THREAD in firsts:
            ctypes.CDLL(None).pthread_exit(None)  # no exception, no `finally`: just gone
        if NOTHING in firsts:
            return {}
        values = batch.input_ids[:, :1].astype(np.float32)
        values[values == NOT_FINITE] = np.nan
        return dict.fromkeys(outputs, values[1:] if MISSHAPEN in firsts else values)

    def terminate(self, thread: int) -> None:
        """Those that hang hear nothing."""


@pytest.fixture
def faulty() -> Iterator[FaultySession]:
    session = FaultySession()
    yield session
    session.release.set()


def together(
    session: FaultySession,
    loop: asyncio.AbstractEventLoop,
    firsts: Sequence[int],
    options: RunOptions | None = None,
) -> tuple[BatchWorker, list[Outcome]]:
    """A worker, and a job of one input for each id; all of them are in its first batch."""
    metrics = Metrics()
    worker = BatchWorker([session], PADDING, BatchLimits(10_000), metrics, options or RunOptions())
    outcomes = [submit(worker, loop, (3, first)) for first in firsts]
    worker.start()
    return worker, outcomes


def be_patient(worker: BatchWorker) -> None:
    """Let the runs that follow take the time that a busy machine needs."""
    worker._runners._options = RunOptions()


# Runs that fail.


@pytest.mark.parametrize("fault", [RAISES, EXITS, MISSHAPEN, NOTHING])
@pytest.mark.parametrize("place", [0, 4, 9])
def test_only_the_input_at_fault_fails(
    faulty: FaultySession, loop: asyncio.AbstractEventLoop, fault: int, place: int
) -> None:
    firsts = [fault if i == place else i for i in range(10)]
    worker, outcomes = together(faulty, loop, firsts)
    for i, outcome in enumerate(outcomes):
        if i == place:
            with pytest.raises(BackendFailed, match="Backend error: "):
                outcome.wait()
        else:
            assert outcome.wait() == [i]
    assert len(faulty.runs) <= 1 + 2 * 4  # two for each halving of ten
    assert submit(worker, loop, (3, 7)).wait() == [7]
    assert worker.healthy


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from([1, 2, 3, RAISES]), min_size=1, max_size=40))
@example([RAISES] * 20 + [1] + [RAISES] * 19)
def test_any_number_of_inputs_at_fault_harms_nobody_else(firsts: list[int]) -> None:
    session = FaultySession()
    with loop_in_thread() as loop:
        worker, outcomes = together(session, loop, firsts)
        for first, outcome in zip(firsts, outcomes, strict=True):
            if first == RAISES:
                with pytest.raises(BackendFailed):
                    outcome.wait()
            else:
                assert outcome.wait() == [first]
        worker.close()
    size, bad = len(firsts), firsts.count(RAISES)
    halvings = (size - 1).bit_length()
    asked_whether_it_works = size // halvings if halvings else 0
    assert len(session.runs) <= 1 + 2 * bad * halvings + asked_whether_it_works


def test_a_session_that_always_fails_is_not_asked_about_every_input(
    faulty: FaultySession, loop: asyncio.AbstractEventLoop
) -> None:
    faulty.is_broken = True
    worker, outcomes = together(faulty, loop, [1] * 256)
    for outcome in outcomes:
        with pytest.raises(BackendFailed, match="cannot"):
            outcome.wait()
    assert len(faulty.runs) < 40
    assert not worker.healthy
    faulty.is_broken = False
    assert submit(worker, loop, (3, 7)).wait() == [7]


def test_a_request_fails_with_its_input_and_others_do_not(
    faulty: FaultySession, loop: asyncio.AbstractEventLoop
) -> None:
    worker = BatchWorker([faulty], PADDING, BatchLimits(1000), Metrics(), RunOptions())
    bad = submit(worker, loop, (3, 1), (3, RAISES), (3, 2), (3, 3))
    good = submit(worker, loop, (3, 4), (3, 5))
    worker.start()
    with pytest.raises(BackendFailed):
        bad.wait()
    assert good.wait() == [4, 5]


def test_a_malformed_input_is_only_its_own_fault(
    faulty: FaultySession, loop: asyncio.AbstractEventLoop
) -> None:
    worker = BatchWorker([faulty], PADDING, BatchLimits(1000), Metrics(), RunOptions())
    broken, bystander = submit(worker, loop, (3, 1)), submit(worker, loop, (3, 2))
    broken.job.inputs = [TokenizedInput(np.zeros((3, 2), np.int64))]  # no row of a batch
    worker.start()
    with pytest.raises(BackendFailed, match="ValueError"):
        broken.wait()
    assert bystander.wait() == [2]


def test_rows_that_are_not_finite_do_not_spoil_their_neighbours(
    faulty: FaultySession, loop: asyncio.AbstractEventLoop
) -> None:
    worker, outcomes = together(faulty, loop, [1, NOT_FINITE, 2])
    assert [outcomes[0].wait(), outcomes[2].wait()] == [[1], [2]]
    assert np.isnan(outcomes[1].wait()).all()  # post-processing refuses it
    assert worker.healthy


def test_a_model_that_yields_nothing_finite_is_not_healthy(
    faulty: FaultySession, loop: asyncio.AbstractEventLoop
) -> None:
    worker, [outcome] = together(faulty, loop, [NOT_FINITE])
    outcome.wait()
    assert not worker.healthy


def test_a_client_that_leaves_while_its_batch_is_halved_is_not_computed(bench: Bench) -> None:
    blocker = bench.submit((3, 1))
    bench.session.next_batch()
    gone, stays = bench.submit((3, 2)), bench.submit((3, 3))
    bench.session.finish()
    assert bench.session.next_batch() == [2, 3]
    gone.job.abandoned = True
    bench.session.finish(BackendFailed("Backend error: no"))
    assert bench.session.next_batch() == [3]
    bench.session.finish()
    assert (blocker.wait(), stays.wait()) == ([1], [3])
    assert not gone.told.is_set()
    closing = threading.Thread(target=bench.worker.close)
    closing.start()
    closing.join(60)
    assert not closing.is_alive()


def test_a_failing_run_fails_its_jobs_only(bench: Bench) -> None:
    doomed = bench.submit((3, 1))
    bench.session.next_batch()
    lucky = bench.submit((3, 2))
    bench.session.finish(BackendFailed("Backend error: no"))
    with pytest.raises(BackendFailed, match="no"):
        doomed.wait()
    assert bench.session.next_batch() == [2]
    assert not bench.worker.healthy
    bench.session.finish()
    assert lucky.wait() == [2]
    assert bench.worker.healthy


def test_an_error_of_another_kind_is_a_backend_error(bench: Bench) -> None:
    doomed = bench.submit((3, 1))
    bench.session.finish(ValueError("odd"))
    with pytest.raises(BackendFailed, match=r"Backend error: ValueError\('odd'\)"):
        doomed.wait()


def test_a_job_of_which_one_row_failed_is_not_run_further(bench: Bench) -> None:
    doomed = bench.submit((3, 1), (90, 2))
    first = bench.session.next_batch()
    bench.session.finish(BackendFailed("Backend error: no"))
    with pytest.raises(BackendFailed):
        doomed.wait()
    after = bench.submit((3, 9))
    assert bench.session.next_batch() == [9]
    bench.session.finish()
    assert after.wait() == [9]
    assert first in ([1], [2])


# Runs that find no memory, or no device.


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
    worker = BatchWorker(
        [FaultySession(memory=32)], PADDING, BatchLimits(60), Metrics(), RunOptions()
    )
    large, small = submit(worker, loop, (50, 1)), submit(worker, loop, (40, 2), (3, 3))
    lucky = submit(worker, loop, (30, 4))
    worker.start()
    for outcome in (large, small):
        with pytest.raises(OutOfMemory, match="Failed to allocate"):
            outcome.wait()
    assert lucky.wait() == [4]
    worker.close()
    assert worker._limits.max_tokens == 60  # a single input says nothing of batches


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


def test_a_lost_device_ends_the_worker_at_once(
    faulty: FaultySession, loop: asyncio.AbstractEventLoop
) -> None:
    worker, outcomes = together(faulty, loop, [1, LOSES_ITS_DEVICE, 2])
    for outcome in outcomes:
        with pytest.raises(BackendFailed, match="CUDA failure 700: an illegal memory access"):
            outcome.wait()
    worker._thread.join(60)
    assert len(faulty.runs) == 1
    assert worker.failure == (
        "the batching worker ended: CUDA failure 700: an illegal memory access"
    )


# Runs that do not end.


def test_a_run_that_ends_when_it_is_told_to_costs_its_jobs_only(
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
    faulty.release.set()  # what comes back late finds its place taken
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
    worker._thread.join(60)
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


# Faults of our own.


def test_a_fault_of_the_worker_itself_leaves_nobody_waiting(bench: Bench) -> None:
    running = bench.submit((3, 1))
    bench.session.next_batch()
    broken, bystander = bench.submit((3, 2)), bench.submit((3, 3))
    broken.job.inputs = [cast("TokenizedInput", 5)]  # has no length
    bench.session.finish()
    for outcome in (running, broken, bystander):
        with pytest.raises(BackendFailed, match="the batching worker ended: TypeError"):
            outcome.wait()
    with pytest.raises(BackendFailed, match="the batching worker ended"):
        bench.submit((3, 4))
    assert not bench.worker.healthy
    assert bench.worker.failure is not None
