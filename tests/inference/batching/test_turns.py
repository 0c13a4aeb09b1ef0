"""Turns of several models: first by a clock that the test moves, then with real workers."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from app.errors import BackendFailed
from app.inference.batching.runner_pool import RunOptions
from app.inference.batching.turns import Alone, Turn, Turns
from app.inference.batching.worker import BatchWorker
from app.model.batch import BatchLimits
from app.telemetry.metrics import Metrics
from tests.support.steering import PADDING, SteeredSession, loop_in_thread, submit
from tools.process import eventually

QUANTUM, PATIENCE = 1.0, 5.0


@dataclass
class Table:
    """Models that take turns, by a clock that the test sets."""

    now: float = 100.0
    woken: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.turns = Turns(QUANTUM, PATIENCE, lambda: self.now)

    def join(self, name: str) -> Turn:
        return self.turns.join(lambda: self.woken.append(name))


@pytest.fixture
def table() -> Table:
    return Table()


def test_alone_a_model_always_has_the_turn(table: Table) -> None:
    one = table.join("one")
    for _ in range(3):
        assert one.may_run()
        one.settle(runs=1, wants=True)
        table.now += 100
        assert one.may_run()
        assert one.seconds_left() is None
        one.settle(runs=0, wants=False)
    assert table.woken == []


def test_a_second_model_runs_when_the_first_has_nothing_running(table: Table) -> None:
    one, two = table.join("one"), table.join("two")
    assert one.may_run()
    assert not two.may_run()
    one.settle(runs=1, wants=False)
    assert table.woken == []
    one.settle(runs=0, wants=False)
    assert table.woken == ["two"]
    assert two.may_run()
    assert not one.is_free
    two.settle(runs=0, wants=False)
    assert one.is_free


def test_a_newcomer_is_next_after_the_runs_in_progress(table: Table) -> None:
    """However long the other has had the turn, and however many rows it still has."""
    flooded, lone = table.join("flooded"), table.join("lone")
    assert flooded.may_run()
    table.now += 1000
    assert not lone.may_run()
    assert not flooded.may_run()
    flooded.settle(runs=1, wants=True)
    assert table.woken == []
    flooded.settle(runs=0, wants=True)
    assert table.woken == ["lone"]
    assert lone.may_run()
    lone.settle(runs=0, wants=False)
    assert table.woken == ["lone", "flooded"]


def test_two_flooded_models_have_equal_times(table: Table) -> None:
    """The runs of one take ten times as long as those of the other."""
    models = {"large": table.join("large"), "small": table.join("small")}
    seconds = {"large": 0.5, "small": 0.05}
    had = dict.fromkeys(models, 0.0)
    at = "large"
    assert models[at].may_run()
    assert not models["small"].may_run()
    for _ in range(10_000):
        while models[at].may_run():
            models[at].settle(runs=1, wants=True)
            table.now += seconds[at]
            had[at] += seconds[at]
        table.woken.clear()
        models[at].settle(runs=0, wants=True)
        [at] = table.woken
    assert abs(had["large"] - had["small"]) <= QUANTUM + seconds["large"]
    assert had["small"] > 1000


def test_an_idle_model_saves_up_little_time(table: Table) -> None:
    one, two = table.join("one"), table.join("two")
    assert one.may_run()
    table.now += 1000
    assert not two.may_run()
    one.settle(runs=0, wants=True)
    assert two.may_run()
    table.now += 2 * QUANTUM - 0.01
    assert two.may_run()
    table.now += 0.02
    assert not two.may_run()  # a thousand idle seconds saved up no more
    two.settle(runs=0, wants=True)
    assert one.may_run()


def test_the_waiting_model_with_least_time_is_next(table: Table) -> None:
    one, two, three = table.join("one"), table.join("two"), table.join("three")
    assert one.may_run()
    assert not two.may_run()
    table.now += 2
    assert not three.may_run()  # it has had nearly as much time as the holder of the turn
    one.settle(runs=0, wants=False)
    assert table.woken == ["two"]


def test_a_hung_run_is_waited_for_only_a_limited_time(table: Table) -> None:
    hung, waiting = table.join("hung"), table.join("waiting")
    assert hung.may_run()
    hung.settle(runs=1, wants=True)
    assert not waiting.may_run()
    assert waiting.seconds_left() == PATIENCE
    table.now += PATIENCE - 1
    assert not waiting.may_run()
    assert waiting.seconds_left() == 1
    table.now += 1
    assert waiting.seconds_left() == 0
    assert waiting.may_run()  # beside the hung run
    assert not hung.may_run()
    hung.settle(runs=1, wants=True)
    waiting.settle(runs=0, wants=False)
    assert table.woken == ["hung"]  # for its other rows


def test_waiting_is_only_for_a_model_whose_turn_is_due(table: Table) -> None:
    """A model with long runs does not go before its share because of them."""
    one, two = table.join("one"), table.join("two")
    assert one.may_run()
    assert not two.may_run()
    one.settle(runs=0, wants=True)
    assert two.may_run()
    table.now += 60
    two.settle(runs=0, wants=True)
    assert one.may_run()
    table.now += 30
    assert two.seconds_left() == 31
    assert not two.may_run()


def test_a_model_without_work_is_skipped(table: Table) -> None:
    one, two = table.join("one"), table.join("two")
    assert one.may_run()
    assert not two.may_run()
    two.settle(runs=0, wants=False)  # its client has disconnected
    assert two.seconds_left() is None
    one.settle(runs=0, wants=False)
    assert table.woken == []
    assert two.is_free


@pytest.mark.parametrize("wants", [True, False])
def test_a_model_that_leaves_holds_up_no_other(table: Table, *, wants: bool) -> None:
    one, two = table.join("one"), table.join("two")
    assert one.may_run()
    assert not two.may_run()
    one.settle(runs=1, wants=wants)
    one.leave()
    assert table.woken == ["two"]
    assert two.may_run()


def test_the_only_model_always_has_the_turn() -> None:
    turn = Alone()
    for wants in (True, False):
        turn.settle(runs=0, wants=wants)
        assert turn.may_run()
        assert turn.is_free
        assert turn.seconds_left() is None


class Bench:
    """Two models, each with a worker and a steered session."""

    def __init__(self, loop: asyncio.AbstractEventLoop, turns: Turns, options: RunOptions) -> None:
        self.loop = loop
        self.sessions = [SteeredSession(), SteeredSession()]
        self.metrics = [Metrics(), Metrics()]
        self.workers = [
            BatchWorker([session], PADDING, BatchLimits(10), metrics, options, turns)
            for session, metrics in zip(self.sessions, self.metrics, strict=True)
        ]
        for worker in self.workers:
            worker.start()


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    with loop_in_thread() as running:
        yield running


def test_a_query_waits_for_one_run_of_a_flooded_model(loop: asyncio.AbstractEventLoop) -> None:
    bench = Bench(loop, Turns(), RunOptions())
    flood = [submit(bench.workers[0], loop, (10, i)) for i in range(20)]
    assert bench.sessions[0].next_batch() == [0]
    query = submit(bench.workers[1], loop, (5, 77))
    eventually(lambda: "te_queue_size 1\n" in bench.metrics[1].render())
    bench.sessions[0].finish()
    assert flood[0].wait() == [0.0]
    assert bench.sessions[1].next_batch() == [77]
    assert bench.sessions[0].started.empty()
    bench.sessions[1].finish()
    assert query.wait() == [77.0]
    for place in range(1, 20):
        assert bench.sessions[0].next_batch() == [place]
        bench.sessions[0].finish()
    assert [one.wait() for one in flood] == [[float(i)] for i in range(20)]


def test_two_floods_take_turns_to_their_ends(loop: asyncio.AbstractEventLoop) -> None:
    """The two never compute at once, and no request is left waiting."""
    bench = Bench(loop, Turns(quantum_seconds=0.0), RunOptions())
    floods = [[submit(one, loop, (10, i)) for i in range(20)] for one in bench.workers]
    order: list[int] = []
    while len(order) < 40:
        eventually(lambda: any(not one.started.empty() for one in bench.sessions))
        [at] = [place for place, one in enumerate(bench.sessions) if not one.started.empty()]
        bench.sessions[at].next_batch()
        order.append(at)
        bench.sessions[at].finish()
    for flood in floods:
        assert [one.wait() for one in flood] == [[float(i)] for i in range(20)]
    assert 1 in order[:20]
    assert 0 in order[:20]


def test_a_session_that_hangs_leaves_the_other_model_alone(
    loop: asyncio.AbstractEventLoop,
) -> None:
    options = RunOptions(timeout_seconds=60)
    bench = Bench(loop, Turns(patience_seconds=0.01), options)
    hung = submit(bench.workers[0], loop, (10, 1))
    assert bench.sessions[0].next_batch() == [1]
    for first in range(3):
        query = submit(bench.workers[1], loop, (5, first))
        assert bench.sessions[1].next_batch() == [first]
        bench.sessions[1].finish()
        assert query.wait() == [float(first)]
    bench.sessions[0].finish()
    assert hung.wait() == [1.0]


def test_a_worker_that_is_lost_leaves_the_other_model_alone(
    loop: asyncio.AbstractEventLoop,
) -> None:
    options = RunOptions(timeout_seconds=0.05, grace_seconds=0.05)
    bench = Bench(loop, Turns(patience_seconds=0.01), options)
    first = submit(bench.workers[0], loop, (10, 1))
    second = submit(bench.workers[0], loop, (10, 2))
    for one in (first, second):
        with pytest.raises(BackendFailed, match="took longer than"):
            one.wait()
    bench.workers[0].close(10)
    assert bench.workers[0].failure is not None
    bench.workers[1].options = RunOptions()
    query = submit(bench.workers[1], loop, (5, 3))
    assert bench.sessions[1].next_batch() == [3]
    bench.sessions[1].finish()
    assert query.wait() == [3.0]
    assert (bench.workers[1].healthy, bench.workers[1].failure) == (True, None)
