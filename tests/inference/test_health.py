"""What is known of a model's health, and when to give it up."""

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from app.errors import BackendFailed, Unhealthy
from app.inference import health
from app.inference.health import Health

LONG_AGO = -1e6


@dataclass
class FakeEngine:
    """An engine whose probes do what the test says."""

    healthy: bool = True
    last_success: float = field(default_factory=time.monotonic)
    failure: str | None = None
    stuck_seconds: float = 0.0
    answers: bool = True
    go: asyncio.Event | None = None  # what a probe waits for
    probes: int = 0

    async def probe(self) -> None:
        self.probes += 1
        if self.go is not None:
            await self.go.wait()
        if not self.answers:
            raise BackendFailed("Backend error: no")
        self.healthy, self.last_success = True, time.monotonic()


@dataclass
class Clock:
    """Time that passes where the test says so."""

    now: float = 0.0
    read: int = 0  # how often

    def monotonic(self) -> float:
        self.read += 1
        return self.now


def over(engine: FakeEngine) -> Health:
    return Health(cast("Any", engine), run_timeout_seconds=1.0)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "TICK_SECONDS", 0.0)


def test_a_model_that_just_answered_is_not_asked() -> None:
    engine = FakeEngine()
    asyncio.run(over(engine).check())
    asyncio.run(over(engine).check_recent())
    assert engine.probes == 0


def test_after_a_failure_a_fresh_run_decides() -> None:
    engine = FakeEngine(healthy=False)
    asyncio.run(over(engine).check_recent())
    assert engine.probes == 1
    sick = FakeEngine(healthy=False, answers=False)
    with pytest.raises(Unhealthy):
        asyncio.run(over(sick).check())


def test_without_a_recent_success_a_model_is_alive_but_not_ready() -> None:
    engine = FakeEngine(last_success=LONG_AGO)
    asyncio.run(over(engine).check())
    asyncio.run(over(engine).check_alive())
    with pytest.raises(Unhealthy):
        asyncio.run(over(engine).check_recent())


def test_all_who_ask_wait_for_one_probe() -> None:
    async def scenario() -> int:
        engine = FakeEngine(healthy=False, go=asyncio.Event())
        model = over(engine)
        asking = [asyncio.create_task(model.check()) for _ in range(100)]
        await asyncio.sleep(0)
        assert engine.go is not None
        engine.go.set()
        await asyncio.gather(*asking)
        return engine.probes

    assert asyncio.run(scenario()) == 1


def test_a_probe_that_does_not_come_back_keeps_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "PROBE_PATIENCE_SECONDS", 0.01)

    async def scenario() -> None:
        model = over(FakeEngine(healthy=False, go=asyncio.Event()))
        for _ in range(2):
            with pytest.raises(Unhealthy):
                await model.check()

    asyncio.run(scenario())


def test_the_watch_keeps_an_idle_model_ready() -> None:
    async def scenario() -> None:
        engine = FakeEngine(last_success=LONG_AGO)
        model = over(engine)
        watch = asyncio.create_task(model.watch())
        while not engine.probes:  # noqa: ASYNC110  # the watch runs on its own
            await asyncio.sleep(0)
        await model.check_recent()
        watch.cancel()

    asyncio.run(scenario())


def test_the_watch_gives_up_after_some_probes_and_some_time() -> None:
    engine = FakeEngine(answers=False, last_success=LONG_AGO)
    reason = asyncio.run(over(engine).watch())
    assert reason.startswith("no probe has succeeded for ")
    assert engine.probes == health.HOPELESS


def test_requests_that_succeed_do_not_hide_probes_that_fail(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Busy(FakeEngine):
        async def probe(self) -> None:
            self.last_success = time.monotonic()  # of a request that took a shorter way
            await super().probe()

    monkeypatch.setattr(health, "PROBE_INTERVAL_SECONDS", 0.0)
    watched = Health(cast("Any", Busy(answers=False)), run_timeout_seconds=0.01)
    assert asyncio.run(watched.watch()).startswith("no probe has succeeded for ")


def test_a_failed_engine_ends_the_watch_and_is_not_alive() -> None:
    engine = FakeEngine(failure="the batching worker ended")
    assert asyncio.run(over(engine).watch()) == "the batching worker ended"
    with pytest.raises(Unhealthy):
        asyncio.run(over(engine).check_alive())


def test_a_probe_that_waits_for_its_turn_has_not_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long: a busy model computes for others meanwhile."""
    clock = Clock()
    monkeypatch.setattr(health, "time", clock)
    monkeypatch.setattr(health, "PROBE_PATIENCE_SECONDS", 0.0)

    async def scenario() -> None:
        always = clock.now + 1e6  # others are answered, however late one looks
        engine = FakeEngine(last_success=always, go=asyncio.Event())
        watch = asyncio.create_task(over(engine).watch())
        clock.now += health.PROBE_INTERVAL_SECONDS + 1
        while not engine.probes:  # noqa: ASYNC110  # the watch runs on its own
            await asyncio.sleep(0)
        clock.now += 1e5  # as many times the limit of a run
        read = clock.read
        while clock.read < read + 100 and not watch.done():  # noqa: ASYNC110
            await asyncio.sleep(0)
        assert not watch.done()
        watch.cancel()

    asyncio.run(scenario())


def test_a_probe_waits_in_vain_where_nobody_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "PROBE_PATIENCE_SECONDS", 0.0)
    engine = FakeEngine(last_success=LONG_AGO, go=asyncio.Event())
    watched = Health(cast("Any", engine), run_timeout_seconds=1e-4)
    assert asyncio.run(watched.watch()).startswith("no probe has succeeded for ")


def test_a_thread_that_never_comes_back_ends_the_watch() -> None:
    engine = FakeEngine(stuck_seconds=4.0)
    reason = asyncio.run(over(engine).watch())
    assert reason == "a thread of the tokenizer has not come back for 4 seconds"
