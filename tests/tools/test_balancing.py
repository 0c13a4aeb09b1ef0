"""The simulation of balancers, against queueing theory and by policy, and the page's figures."""

from pathlib import Path
from random import Random

import pytest

from tools.balancing import measured
from tools.balancing.__main__ import COMMAND, PAGE, report
from tools.balancing.simulation import (
    Load,
    Policy,
    better_of_two,
    latencies,
    least_outstanding,
    percentile,
    round_robin,
)
from tools.bench.report import markers
from tools.process import ROOT


def test_the_page_says_what_is_simulated() -> None:
    begin, end = markers(COMMAND)
    page = (ROOT / PAGE).read_text()
    assert page.split(begin)[1].split(end)[0].strip() == "\n".join(report())


@pytest.mark.parametrize("policy", [round_robin, least_outstanding])
@pytest.mark.parametrize("utilization", [0.3, 0.7])
def test_one_replica_is_a_queue_as_theory_has_it(policy: Policy, utilization: float) -> None:
    """Pollaczek and Khinchine's mean wait for equal services: half of ρ / (1 - ρ) services."""
    found = latencies([1.0], policy, Load(1, utilization, 100_000))
    waited = sum(found) / len(found) - 1
    assert waited == pytest.approx(utilization / (1 - utilization) / 2, rel=0.05)


def test_policies() -> None:
    assert [round_robin([9, 0, 0], number, Random(1)) for number in range(4)] == [0, 1, 2, 0]
    assert [least_outstanding([1, 0, 0], number, Random(1)) for number in range(3)] == [1, 1, 2]
    choose = Random(1)
    chosen = [better_of_two([0, 1, 2], number, choose) for number in range(300)]
    assert set(chosen) == {0, 1}  # the worst of all is never the better of two
    assert 150 < chosen.count(0) < 250  # it is one of the two in two of three cases


def test_equal_seeds_are_equal_and_others_are_not() -> None:
    loads = [Load(3, 0.5, 500, seed) for seed in (1, 1, 2)]
    first, second, third = (latencies([0.1, 0.4], better_of_two, one) for one in loads)
    assert first == second != third


def test_percentiles() -> None:
    assert [percentile([3.0, 1.0, 2.0], share) for share in (0.0, 0.5, 1.0)] == [1.0, 2.0, 3.0]


def test_the_time_of_requests_is_measured_on_a_server(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measured, "REQUESTS", 20)
    found = measured.measure(str(tiny_model))
    assert found["about"].startswith(f"{tiny_model} on ")
    assert found["about"].endswith(": 20 requests, one in 10 of 32 passages, the others queries")
    assert len(found["seconds"]) == 20
    assert 0 < found["seconds"][0] <= found["seconds"][-1] < 1
    assert found["seconds"] == sorted(found["seconds"])
