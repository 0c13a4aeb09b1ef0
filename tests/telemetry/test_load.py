"""Load: the work that waits and runs."""

import pytest

from app.telemetry.load import MOST_WAITS, RECENT_SECONDS, Load


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_tokens_in_flight_are_those_that_wait_and_those_that_run() -> None:
    assert Load(lambda: 30, lambda: 12).tokens_in_flight() == 42


def test_work_that_waits_is_measured_by_the_speed_of_runs() -> None:
    waiting = [1000]
    load = Load(lambda: waiting[0], lambda: 0)
    assert load.waiting_seconds() == 0  # no speed is known yet
    load.ran(500, 0.5, [0.1])
    assert load.waiting_seconds() == 1.0
    load.ran(2000, 1.0, [0.1])  # twice as fast, with a weight of a tenth
    assert load.waiting_seconds() == pytest.approx(1 / 1.1)
    for _ in range(100):
        load.ran(2000, 1.0, [0.1])
    assert load.waiting_seconds() == pytest.approx(0.5, rel=0.01)
    waiting[0] = 0
    assert load.waiting_seconds() == 0


def test_a_run_without_inputs_does_not_count_for_the_speed() -> None:
    load = Load(lambda: 100, lambda: 0)
    load.ran(100, 1.0, [0.1])
    load.ran(0, 1.0, [])
    assert load.waiting_seconds() == 1.0


def test_the_99th_percentile_of_the_last_minute() -> None:
    clock = Clock()
    load = Load(lambda: 0, lambda: 0, clock)
    assert load.queue_p99() == 0
    load.ran(1, 1.0, [5.0])
    clock.now += RECENT_SECONDS / 2
    load.ran(1, 1.0, [number / 1000 for number in range(1000)])
    assert load.queue_p99() == pytest.approx(0.991, abs=0.002)
    clock.now += RECENT_SECONDS / 2 + 1  # the first is forgotten
    load.ran(1, 1.0, [0.0])
    assert load.queue_p99() == pytest.approx(0.99, abs=0.002)
    clock.now += RECENT_SECONDS + 1
    assert load.queue_p99() == 0


def test_memory_is_bounded() -> None:
    load = Load(lambda: 0, lambda: 0)
    load.ran(1, 1.0, [9.0])
    load.ran(1, 1.0, [1.0] * MOST_WAITS)
    assert load.queue_p99() == 1.0


def test_runs_of_low_priority_count_for_the_speed_and_not_for_waits() -> None:
    load = Load(lambda: 100, lambda: 0)
    load.ran(100, 1.0, [])
    assert (load.waiting_seconds(), load.queue_p99()) == (1.0, 0)
