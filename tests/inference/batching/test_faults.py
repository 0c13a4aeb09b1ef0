"""Sessions that raise, hang, return nonsense or kill their thread: every caller gets an answer."""

import asyncio
import threading
from typing import cast

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.errors import BackendFailed
from app.inference.batching.runner_pool import RunOptions
from app.inference.batching.worker import BatchWorker
from app.model.batch import BatchLimits, TokenizedInput
from app.telemetry.metrics import Metrics
from tests.support.faulty_sessions import (
    EXITS,
    LOSES_ITS_DEVICE,
    MISSHAPEN,
    NOT_FINITE,
    NOTHING,
    RAISES,
    FaultySession,
    together,
)
from tests.support.steering import PADDING, Bench, loop_in_thread, submit


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
    assert len(faulty.runs) <= 1 + 2 * 4  # two for each halving of ten inputs
    assert submit(worker, loop, (3, 7)).wait() == [7]
    assert worker.healthy


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from([1, 2, 3, RAISES]), min_size=1, max_size=40))
@example([RAISES] * 20 + [1] + [RAISES] * 19)
def test_any_number_of_faulty_inputs_harms_no_other(firsts: list[int]) -> None:
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
    broken.job.inputs = [TokenizedInput(np.zeros((3, 2), np.int64))]  # not a row of a batch
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


def test_a_lost_device_ends_the_worker_at_once(
    faulty: FaultySession, loop: asyncio.AbstractEventLoop
) -> None:
    worker, outcomes = together(faulty, loop, [1, LOSES_ITS_DEVICE, 2])
    for outcome in outcomes:
        with pytest.raises(BackendFailed, match="CUDA failure 700: an illegal memory access"):
            outcome.wait()
    assert len(faulty.runs) == 1
    assert worker.failure == (
        "the batching worker ended: CUDA failure 700: an illegal memory access"
    )


def test_a_fault_of_the_worker_itself_answers_every_caller(bench: Bench) -> None:
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
