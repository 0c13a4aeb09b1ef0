"""Several devices behind one queue; sessions on the CPU stand for those on GPUs."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from starlette.types import ASGIApp

from app.api.http.service import Service
from app.errors import BackendFailed, DeviceLost
from app.inference.admission import InputOptions
from app.inference.batching.runner import EndableRuns, Runner
from app.inference.batching.runner_pool import RunOptions
from app.inference.batching.worker import BatchWorker
from app.inference.loading import LoadedModel
from app.inference.providers.plan import Plan, ProviderRequest
from app.inference.providers.session import Session
from app.model.batch import Batch, BatchLimits, TokenizedInput
from app.model.names import SENTENCE_EMBEDDING
from app.telemetry.metrics import Metrics
from tests.support.loading import load_folder, try_plans
from tests.support.steering import PADDING, SteeredSession, submit, submit_inputs
from tools import tiny
from tools.process import eventually


@pytest.fixture
def model(tiny_model: Path, monkeypatch: pytest.MonkeyPatch) -> LoadedModel:
    """The tiny model, loaded for each of two devices."""
    plan = Plan("cpu", "asked for", devices=(0, 1))
    try_plans(monkeypatch, plan)
    return load_folder(tiny_model, ProviderRequest(), 64)


class Together:
    """A real session whose first run waits until every other session has one as well."""

    def __init__(self, session: Session, everyone: threading.Barrier) -> None:
        self._session = session
        self._everyone = everyone
        self.runs = 0

    def run(self, batch: Batch, outputs: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        self.runs += 1
        if self.runs == 1:
            self._everyone.wait(10)
        return self._session.run(batch, outputs)

    def terminate(self, thread: int) -> None:
        self._session.terminate(thread)


def test_every_device_has_a_session_that_was_proved(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    plan = Plan("cpu", "asked for", devices=(1, 0))
    try_plans(monkeypatch, plan)
    first, second = load_folder(tiny_model, ProviderRequest(), 64).sessions
    assert [one.plan.ort_options["device_id"] for one in (first, second)] == ["1", "0"]
    assert "Computing on cpu in float32, device 1, device 0: asked for" in caplog.messages
    assert sum(text.startswith("Proved on cpu in float32") for text in caplog.messages) == 2


def test_devices_compute_side_by_side_what_waits_in_one_queue(
    model: LoadedModel, loop: asyncio.AbstractEventLoop
) -> None:
    everyone = threading.Barrier(2)
    sessions = [Together(one, everyone) for one in model.sessions]
    padding, limits = model.manifest.padding, model.limits
    worker = BatchWorker(sessions, padding, limits, Metrics(), RunOptions())
    every = [tiny.ids_of(text) for text in tiny.PROBE_TEXTS] * 50
    outcomes = [
        submit_inputs(worker, loop, [TokenizedInput(ids)], SENTENCE_EMBEDDING) for ids in every
    ]
    worker.start()
    for ids, outcome in zip(every, outcomes, strict=True):
        outcome.wait()
        [row] = outcome.job.rows
        assert row is not None
        np.testing.assert_allclose(row[0], tiny.reference(ids), atol=1e-6)
    assert all(one.runs for one in sessions)
    worker.close()


def test_the_service_has_a_run_thread_for_each_device(
    make_service: Callable[..., tuple[Service, ASGIApp]], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = Plan("cpu", "asked for", devices=(0, 1))
    try_plans(monkeypatch, plan)
    started: list[EndableRuns] = []
    start = Runner.start

    def noted(runner: Runner, name: str) -> None:
        started.append(runner.session)
        start(runner, name)

    monkeypatch.setattr(Runner, "start", noted)
    engine = make_service()[0].model.engine
    assert (len(started), len(set(started))) == (2, 2)
    computed = asyncio.run(engine.embed(["the cat"] * 8, InputOptions(), normalize=False))
    expected = tiny.reference(tiny.ids_of("the cat"))
    np.testing.assert_allclose(computed.value, [expected] * 8, atol=1e-6)


def two_devices(options: RunOptions) -> tuple[BatchWorker, list[SteeredSession]]:
    sessions = [SteeredSession(), SteeredSession()]
    worker = BatchWorker(sessions, PADDING, BatchLimits(100), Metrics(), options)
    worker.start()
    return worker, sessions


def busy_one(sessions: list[SteeredSession]) -> SteeredSession:
    """Wait for the only run; return its session."""
    eventually(lambda: not all(one.started.empty() for one in sessions), 60)
    [busy] = [one for one in sessions if not one.started.empty()]
    busy.started.get()
    return busy


def test_a_run_that_does_not_end_harms_only_its_own_device(
    loop: asyncio.AbstractEventLoop,
) -> None:
    worker, sessions = two_devices(RunOptions(timeout_seconds=0.05, grace_seconds=0.05))
    doomed = submit(worker, loop, (3, 1))
    stuck = busy_one(sessions)
    other = next(one for one in sessions if one is not stuck)
    with pytest.raises(BackendFailed, match="a run took longer"):
        doomed.wait()
    assert stuck.terminated.get(timeout=60) == stuck.threads.get()
    assert other.terminated.empty()
    worker.options = RunOptions()
    short, long = submit(worker, loop, (3, 2)), submit(worker, loop, (90, 3))
    for one in sessions:  # a new thread has replaced the stuck one
        assert one.started.get(timeout=60).input_ids[0, 0] in {2, 3}
    for one in (*sessions, stuck):
        one.finish()
    assert (short.wait(), long.wait()) == ([2], [3])
    worker.close()
    assert worker.failure is None


def test_a_device_that_is_lost_ends_the_worker_for_all(loop: asyncio.AbstractEventLoop) -> None:
    worker, sessions = two_devices(RunOptions())
    outcomes = [submit(worker, loop, (3, 1)), submit(worker, loop, (90, 2))]
    for one in sessions:
        one.started.get(timeout=60)
    waiting = submit(worker, loop, (50, 3))
    sessions[1].finish(DeviceLost("Backend error: CUDA failure 719: it is gone ; GPU=1"))
    for outcome in (*outcomes, waiting):
        with pytest.raises(BackendFailed, match="CUDA failure 719: it is gone ; GPU=1"):
            outcome.wait()
    assert worker.failure == "the batching worker ended: CUDA failure 719: it is gone ; GPU=1"
    sessions[0].finish()


def test_one_device_out_of_memory_makes_batches_smaller_on_all(
    loop: asyncio.AbstractEventLoop,
) -> None:
    worker, sessions = two_devices(RunOptions())
    blockers = [submit(worker, loop, (3, 1)), submit(worker, loop, (90, 2))]
    for one in sessions:
        one.started.get(timeout=60)
    bulk = submit(worker, loop, *((10, first) for first in range(10)))
    sessions[0].finish()
    assert len(sessions[0].next_batch()) == 10
    sessions[0].finish(MemoryError())
    sessions[1].finish()
    sizes = [len(one.next_batch()) for one in sessions]
    assert sizes == [5, 5]
    for one in sessions:
        one.finish()
    assert sorted(bulk.wait()) == list(range(10))
    assert [one.wait() for one in blockers] == [[1], [2]]
    worker.close()
