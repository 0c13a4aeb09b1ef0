"""A model's health, and when to give it up."""

import asyncio
import time
from dataclasses import dataclass, field

import pytest

from app.errors import BackendFailed, Unhealthy
from app.inference import health
from app.inference.health import Health

LONG_AGO = -1e6


@dataclass
class FakeModel:
    """A model whose probes behave as the test says."""

    healthy: bool = True
    last_success: float = field(default_factory=time.monotonic)
    failure: str | None = None
    stuck: float = 0.0
    answers: bool = True
    go: asyncio.Event | None = None  # a probe waits for it, if it is given
    probes: int = 0

    def stuck_seconds(self) -> float:
        return self.stuck

    async def probe(self) -> None:
        self.probes += 1
        if self.go is not None:
            await self.go.wait()
        if not self.answers:
            raise BackendFailed("Backend error: no")
        self.healthy, self.last_success = True, time.monotonic()


@dataclass
class Clock:
    """A clock that the test moves."""

    now: float = 0.0
    read: int = 0  # number of readings

    def monotonic(self) -> float:
        self.read += 1
        return self.now


def over(model: FakeModel, run_timeout_seconds: float = 1.0) -> Health:
    return Health(model, model, model.probe, run_timeout_seconds)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "TICK_SECONDS", 0.0)


def test_a_model_that_just_answered_is_not_asked() -> None:
    model = FakeModel()
    asyncio.run(over(model).check())
    asyncio.run(over(model).check_recent())
    assert model.probes == 0


def test_after_a_failure_a_fresh_run_decides() -> None:
    model = FakeModel(healthy=False)
    asyncio.run(over(model).check_recent())
    assert model.probes == 1
    sick = FakeModel(healthy=False, answers=False)
    with pytest.raises(Unhealthy):
        asyncio.run(over(sick).check())


def test_without_a_recent_success_a_model_is_alive_but_not_ready() -> None:
    model = FakeModel(last_success=LONG_AGO)
    asyncio.run(over(model).check())
    asyncio.run(over(model).check_alive())
    with pytest.raises(Unhealthy):
        asyncio.run(over(model).check_recent())


def test_all_who_ask_wait_for_one_probe() -> None:
    async def scenario() -> int:
        model = FakeModel(healthy=False, go=asyncio.Event())
        watched = over(model)
        asking = [asyncio.create_task(watched.check()) for _ in range(100)]
        await asyncio.sleep(0)
        assert model.go is not None
        model.go.set()
        await asyncio.gather(*asking)
        return model.probes

    assert asyncio.run(scenario()) == 1


def test_a_probe_that_hangs_delays_no_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "PROBE_WAIT_SECONDS", 0.01)

    async def scenario() -> None:
        watched = over(FakeModel(healthy=False, go=asyncio.Event()))
        for _ in range(2):
            with pytest.raises(Unhealthy):
                await watched.check()

    asyncio.run(scenario())


def test_the_watch_keeps_an_idle_model_ready() -> None:
    async def scenario() -> None:
        model = FakeModel(last_success=LONG_AGO)
        watched = over(model)
        watch = asyncio.create_task(watched.watch())
        while not model.probes:  # noqa: ASYNC110  # the watch runs on its own
            await asyncio.sleep(0)
        await watched.check_recent()
        watch.cancel()

    asyncio.run(scenario())


def test_the_watch_gives_up_after_some_probes_and_some_time() -> None:
    model = FakeModel(answers=False, last_success=LONG_AGO)
    reason = asyncio.run(over(model).watch())
    assert reason.startswith("no probe has succeeded for ")
    assert model.probes == health.HOPELESS


def test_requests_that_succeed_do_not_hide_probes_that_fail(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Busy(FakeModel):
        async def probe(self) -> None:
            self.last_success = time.monotonic()  # of a request on a shorter path
            await super().probe()

    monkeypatch.setattr(health, "PROBE_INTERVAL_SECONDS", 0.0)
    watched = over(Busy(answers=False), 0.01)
    assert asyncio.run(watched.watch()).startswith("no probe has succeeded for ")


def test_a_failed_engine_ends_the_watch_and_is_not_alive() -> None:
    model = FakeModel(failure="the batching worker ended")
    assert asyncio.run(over(model).watch()) == "the batching worker ended"
    with pytest.raises(Unhealthy):
        asyncio.run(over(model).check_alive())


def test_a_probe_that_waits_for_its_turn_has_not_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long it waits: a busy model computes for other requests."""
    clock = Clock()
    monkeypatch.setattr(health, "time", clock)
    monkeypatch.setattr(health, "PROBE_WAIT_SECONDS", 0.0)

    async def scenario() -> None:
        always = clock.now + 1e6  # other requests keep succeeding
        model = FakeModel(last_success=always, go=asyncio.Event())
        watch = asyncio.create_task(over(model).watch())
        clock.now += health.PROBE_INTERVAL_SECONDS + 1
        while not model.probes:  # noqa: ASYNC110  # the watch runs on its own
            await asyncio.sleep(0)
        clock.now += 1e5  # many times the limit of a run
        read = clock.read
        while clock.read < read + 100 and not watch.done():  # noqa: ASYNC110
            await asyncio.sleep(0)
        assert not watch.done()
        watch.cancel()

    asyncio.run(scenario())


def test_a_probe_fails_where_no_request_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "PROBE_WAIT_SECONDS", 0.0)
    model = FakeModel(last_success=LONG_AGO, go=asyncio.Event())
    watched = over(model, 1e-4)
    assert asyncio.run(watched.watch()).startswith("no probe has succeeded for ")


def test_a_thread_that_never_comes_back_ends_the_watch() -> None:
    model = FakeModel(stuck=4.0)
    reason = asyncio.run(over(model).watch())
    assert reason == "a thread of the tokenizer has not come back for 4 seconds"
