"""The bare session: its batches, and its figures."""

import pytest

from tools import tiny
from tools.bench.bare import SHAPES, Bare, Computed
from tools.bench.loads.texts import Fresh


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> Bare:
    folder = tmp_path_factory.mktemp("bare") / "tiny"
    tiny.build(folder)
    return Bare(Computed("cpu", "float32", folder))


def test_every_text_is_in_one_batch_of_few_rows(bare: Bare) -> None:
    texts = Fresh((1, 9), seed=1).take(100)
    groups = bare.batches(texts)
    assert sorted(text for group in groups for text in group) == sorted(texts)
    assert max(map(len, groups)) <= 16


def test_a_rate_is_of_all_groups_if_there_is_time(bare: Bare) -> None:
    rate = bare.rate([["the cat"], ["a", "b c"], ["sat"]], 60, 2)
    assert rate.texts == 4
    assert rate.median is not None
    assert rate.cpu_seconds is not None


def test_a_text_that_would_be_cut_does_not_fit(bare: Bare) -> None:
    assert bare.fits("the cat sat")
    assert not bare.fits("a " * tiny.MAX_LENGTH)


def test_every_shape_has_a_first_run_and_more(bare: Bare) -> None:
    bare.learn()
    assert set(bare.first_runs()) == set(SHAPES)
    repeated = bare.repeated_runs()
    assert set(repeated) == set(SHAPES)
    assert {len(runs) for runs in repeated.values()} == {5}
    assert all(taken > 0 for runs in repeated.values() for taken in runs)
