"""Reuse: each row is computed once for all requests, and every waiting request is answered."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pytest

from app.errors import BackendFailed
from app.inference.batching.job import Outcome
from app.inference.permits import Permits, Taken
from app.inference.reuse import reuse as module
from app.inference.reuse.reuse import Asked, Reuse, open_store
from app.model.batch import TokenizedInput
from app.model.names import SENTENCE_EMBEDDING, TOKEN_EMBEDDINGS
from app.telemetry.metrics import Metrics


@dataclass
class Model:
    """A model whose rows hold the run's number and the id, once they are released."""

    runs: list[list[int]] = field(default_factory=list)  # ids of each run
    gates: list["asyncio.Future[None]"] = field(default_factory=list)
    waits: bool = False
    bad: int | None = None  # the id whose row is not finite

    async def compute(self, inputs: Sequence[TokenizedInput]) -> Outcome:
        ids = [int(one.input_ids[0]) for one in inputs]
        run = len(self.runs)
        self.runs.append(ids)
        if self.waits:
            gate: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self.gates.append(gate)
            await gate
        rows = [(np.array([np.nan if one == self.bad else one, run], np.float32),) for one in ids]
        return Outcome(rows, queue_seconds=0.0, inference_seconds=float(len(ids)))


@dataclass
class Bench:
    model: Model
    metrics: Metrics
    reuse: Reuse
    permits: Permits

    async def ask(self, *ids: int, output: str = SENTENCE_EMBEDDING) -> Outcome:
        inputs = [TokenizedInput(np.array([one], np.int64)) for one in ids]
        held: Taken = self.permits.taken(len(ids))
        with held:
            asked = Asked(inputs, (output,), "")
            return await self.reuse.outcome(asked, self.model.compute, held)

    def counted(self, name: str) -> int:
        lines = self.metrics.render().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(f"{name} "))


@pytest.fixture
def bench() -> Bench:
    return make_bench(1_000_000)


def make_bench(limit: int) -> Bench:
    metrics = Metrics()
    reuse = Reuse(open_store(limit, metrics), metrics)
    return Bench(Model(), metrics, reuse, Permits(100))


def values(outcome: Outcome) -> list[list[float]]:
    return [row.tolist() for (row,) in outcome.rows]


async def turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def asking(bench: Bench) -> "asyncio.Task[Outcome]":
    """Ask for a row, which is in flight from then on."""
    bench.model.waits = True
    asked = asyncio.create_task(bench.ask(1))
    await turns()
    return asked


def test_equal_inputs_of_a_request_are_computed_once(bench: Bench) -> None:
    outcome = asyncio.run(bench.ask(1, 2, 1, 1))
    assert bench.model.runs == [[1, 2]]
    assert values(outcome) == [[1, 0], [2, 0], [1, 0], [1, 0]]
    assert outcome.inference_seconds == 2
    assert (bench.counted("te_rows_shared"), bench.counted("te_cache_misses")) == (2, 2)


def test_a_later_request_gets_the_very_bytes(bench: Bench) -> None:
    async def scenario() -> None:
        first = await bench.ask(1, 2)
        second = await bench.ask(2, 3)
        third = await bench.ask(2, 1, 3)
        assert bench.model.runs == [[1, 2], [3]]
        assert values(second) == [[2, 0], [3, 1]]
        assert values(third) == [[2, 0], [1, 0], [3, 1]]
        assert third.rows[0][0].tobytes() == first.rows[1][0].tobytes()
        assert (third.queue_seconds, third.inference_seconds) == (0, 0)

    asyncio.run(scenario())
    assert (bench.counted("te_cache_hits"), bench.counted("te_cache_misses")) == (4, 3)


def test_requests_at_a_time_share_a_row_and_hold_permits_for_their_own(bench: Bench) -> None:
    async def scenario() -> None:
        first = await asking(bench)
        second = asyncio.create_task(bench.ask(1, 2, 2))
        third = asyncio.create_task(bench.ask(1))
        await turns()
        assert bench.model.runs == [[1], [2]]
        assert bench.permits.free == 98
        for gate in bench.model.gates:
            gate.set_result(None)
        found = await asyncio.gather(first, second, third)
        assert [values(one) for one in found] == [[[1, 0]], [[1, 0], [2, 1], [2, 1]], [[1, 0]]]

    asyncio.run(scenario())
    assert bench.permits.free == 100
    assert bench.counted("te_rows_shared") == 3


@pytest.mark.parametrize("limit", [0, 1_000_000])
def test_a_row_is_kept_for_a_request_that_reaches_it_later(limit: int) -> None:
    bench = make_bench(limit)

    async def scenario() -> None:
        first = await asking(bench)
        second = asyncio.create_task(bench.ask(1, 2))
        await turns()
        bench.model.gates[0].set_result(None)  # before the second has begun to wait for it
        assert values(await first) == [[1, 0]]
        bench.model.gates[1].set_result(None)
        assert values(await second) == [[1, 0], [2, 1]]

    asyncio.run(scenario())
    assert bench.model.runs == [[1], [2]]


def test_a_query_does_not_wait_for_a_bulk_request(bench: Bench) -> None:
    async def scenario() -> None:
        bench.model.waits = True
        bulk = asyncio.create_task(bench.ask(1, 2, 3))
        await turns()
        query = asyncio.create_task(bench.ask(2))
        await turns()
        bench.model.gates[1].set_result(None)
        assert values(await query) == [[2, 1]]
        bench.model.gates[0].set_result(None)
        await bulk

    asyncio.run(scenario())
    assert bench.model.runs == [[1, 2, 3], [2]]


@pytest.mark.parametrize("failure", [None, BackendFailed("Backend error: no")])
def test_a_request_whose_source_leaves_or_fails_computes_for_itself(
    bench: Bench, failure: BackendFailed | None
) -> None:
    async def scenario() -> None:
        first = await asking(bench)
        waiting = [asyncio.create_task(bench.ask(1)) for _ in range(2)]
        await turns()
        assert bench.permits.free == 99
        if failure is None:
            first.cancel()
        else:
            bench.model.gates[0].set_exception(failure)
        await turns()
        assert bench.model.runs == [[1], [1], [1]]
        assert bench.permits.free == 98  # only those that are computed
        later = asyncio.create_task(bench.ask(1))
        await turns()
        assert len(bench.model.runs) == 3
        for gate in bench.model.gates[1:]:
            gate.set_result(None)
        found = await asyncio.gather(*waiting, later)
        assert [values(one)[0][0] for one in found] == [1, 1, 1]
        with pytest.raises((BackendFailed, asyncio.CancelledError)):
            await first

    asyncio.run(scenario())
    assert bench.permits.free == 100


def test_a_request_that_fails_after_waiting_has_its_own_error(bench: Bench) -> None:
    async def scenario() -> None:
        first, second = await asking(bench), await asking(bench)
        errors = [BackendFailed(f"Backend error: {place}") for place in range(2)]
        bench.model.gates[0].set_exception(errors[0])
        await turns()
        bench.model.gates[1].set_exception(errors[1])
        found = await asyncio.gather(first, second, return_exceptions=True)
        assert list(found) == errors
        bench.model.waits = False
        assert values(await bench.ask(1)) == [[1, 2]]  # a failure is not kept

    asyncio.run(scenario())
    assert bench.permits.free == 100


def test_a_request_that_leaves_while_waiting_changes_nothing(bench: Bench) -> None:
    async def scenario() -> None:
        first, second = await asking(bench), await asking(bench)
        second.cancel()
        await turns()
        bench.model.gates[0].set_result(None)
        assert values(await first) == [[1, 0]]

    asyncio.run(scenario())
    assert bench.model.runs == [[1]]
    assert bench.permits.free == 100


def test_a_row_that_is_not_finite_is_neither_kept_nor_shared(bench: Bench) -> None:
    async def scenario() -> None:
        bench.model.bad = 2
        bench.model.waits = True
        first = asyncio.create_task(bench.ask(1, 2))
        await turns()
        second = asyncio.create_task(bench.ask(2, 1))
        await turns()
        bench.model.gates[0].set_result(None)
        await turns()
        bench.model.gates[1].set_result(None)
        await asyncio.gather(first, second)

    asyncio.run(scenario())
    assert bench.model.runs == [[1, 2], [2]]


def test_rows_of_tokens_are_computed_as_they_come(bench: Bench) -> None:
    async def scenario() -> None:
        await bench.ask(1, 1, output=TOKEN_EMBEDDINGS)
        await bench.ask(1, output=TOKEN_EMBEDDINGS)

    asyncio.run(scenario())
    assert bench.model.runs == [[1, 1], [1]]


def test_without_a_store_only_what_is_computed_at_a_time_is_shared() -> None:
    bench = make_bench(0)

    async def scenario() -> None:
        await bench.ask(1, 1)
        await bench.ask(1)

    asyncio.run(scenario())
    assert bench.model.runs == [[1], [1]]
    names = ("te_rows_shared", "te_cache_hits", "te_cache_misses", "te_cache_bytes_limit")
    assert [bench.counted(name) for name in names] == [1, 0, 0, 0]


def test_evicted_rows_are_computed_again() -> None:
    bench = make_bench(4_000)

    async def scenario() -> None:
        for number in range(100):
            await bench.ask(number)
        await bench.ask(99)
        await bench.ask(0)

    asyncio.run(scenario())
    assert bench.model.runs == [[number] for number in (*range(100), 0)]
    assert bench.counted("te_cache_evictions") > 0
    assert 0 < bench.counted("te_cache_bytes") <= bench.counted("te_cache_bytes_limit") == 4_000
    assert bench.counted("te_cache_rows") > 0


def test_other_tasks_run_while_many_rows_are_looked_up_and_stored(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "AT_ONCE", 2)
    bench.permits = Permits(1_000)
    counted = 0

    async def count() -> None:
        nonlocal counted
        while True:
            await asyncio.sleep(0)
            counted += 1

    async def scenario() -> None:
        beside = asyncio.create_task(count())
        found = await bench.ask(*range(100))
        beside.cancel()
        assert values(found) == [[number, 0] for number in range(100)]

    asyncio.run(scenario())
    assert counted >= 90
