"""What is planned for the processor."""

from dataclasses import replace

import pytest

from app.inference.providers.choose import candidates
from app.inference.providers.plan import ProviderRequest
from tests.support.machines import OPERATORS, PLAIN


def test_threads_are_the_cores_unless_they_are_named() -> None:
    assert candidates(ProviderRequest(), PLAIN, "embedding")[0].threads == PLAIN.cores
    assert candidates(ProviderRequest(threads=1), PLAIN, "embedding")[0].threads == 1


def test_int16_is_planned_as_float32_is_and_has_to_qualify_unless_it_is_named() -> None:
    taken, exact = candidates(ProviderRequest(threads=3), OPERATORS, "embedding")
    assert taken == replace(exact, compute_dtype="int16", must_qualify=True, reason=taken.reason)
    assert taken.reason == "the processor multiplies in it, and it costs this model little"
    [asked] = candidates(ProviderRequest(dtype="int16", threads=3), OPERATORS, "embedding")
    assert asked == replace(taken, must_qualify=False, reason="int16 was asked for")


@pytest.mark.parametrize(
    ("cores", "runs"), [(1, 1), (2, 1), (3, 1), (4, 2), (6, 3), (8, 4), (16, 8), (64, 8)]
)
def test_the_cpu_provider_computes_some_runs_side_by_side(cores: int, runs: int) -> None:
    [plan] = candidates(ProviderRequest("cpu"), replace(PLAIN, cores=cores), "embedding")
    assert (plan.threads, plan.run_threads, plan.single_input_threads) == (cores, runs, 1)
    assert plan.one_long
