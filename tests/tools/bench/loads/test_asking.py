"""The bench's loads: the requests of each, and that no text is asked twice."""

from collections.abc import Sequence
from itertools import count

import pytest

from tests.tools.bench.loads.recorder import recording
from tools.bench.loads.asking import Supply, of_ours, of_server, vectors_of
from tools.bench.loads.pacing import paced
from tools.bench.rate import Rate
from tools.bench.subject import BESIDE_BULK, BULK, MANY, PACED, over


def supply() -> Supply:
    """Texts for one server, any of which suits."""
    return Supply(lambda _: True)


def test_no_text_is_asked_twice_under_all_loads() -> None:
    with recording() as server:
        texts = supply()
        loads = of_server(server, texts, 1.0)
        ours = of_ours(server, texts)
        rates = [each() for each in (loads[over(1)], loads[over(32)], loads[BULK], ours[MANY[0]])]
        again = loads[over(1)]()
    assert len(set(server.texts)) == len(server.texts)
    # Requests of `wrk` in flight at the end are asked, but not counted.
    assert len(server.texts) >= sum(rate.texts for rate in rates) + again.texts > 0
    assert all(rate.cpu is None for rate in rates)  # it does not run in a process of its own


def test_bulk_loads_run_to_their_end() -> None:
    with recording() as server:
        rate = of_server(server, supply(), 1.0)[BULK]()
    assert rate.texts == len(server.texts) == 128


def test_a_quick_bench_has_fewer_loads() -> None:
    with recording() as server:
        assert set(of_server(server, supply(), 1.0, quick=True)) == {over(1), over(32), PACED, BULK}
        assert over(8) in of_server(server, supply(), 1.0)
        assert set(of_ours(server, supply())) == {*MANY, BESIDE_BULK}


def test_used_texts_do_not_come_again_and_the_rest_does() -> None:
    seen: list[str] = []

    def measure(texts: Sequence[str]) -> Rate:
        seen.extend(texts[:10])
        return Rate(10, 1, 1)

    texts = supply()
    for _ in range(20):
        texts.spend("a load", texts.queries, 1.0, measure)
    assert len(set(seen)) == 200


def test_a_load_that_runs_out_of_texts_is_measured_again_with_more() -> None:
    texts, seen = supply(), list[int]()

    def measure(given: Sequence[str]) -> Rate:
        seen.append(len(given))
        asked = min(len(given), 9_000)
        return Rate(asked, 1, 1)

    assert texts.spend("a load", texts.queries, 1.0, measure).texts == 9_000
    assert seen[0] < 9_000 < seen[-1]


def test_texts_that_run_out_are_no_figure() -> None:
    texts = supply()
    answered = count(1_000_000)
    with pytest.raises(RuntimeError, match=r"a load: \d+ texts were too few, or asked twice"):
        texts.spend("a load", texts.queries, 1.0, lambda _: Rate(next(answered), 1, 1))


def test_queries_at_a_pace_are_asked_in_order_on_one_connection() -> None:
    texts = ["one", "two", "three"]
    with recording() as server:
        rate = paced(server, texts)
    assert server.texts == texts
    assert len(server.connections) == 1
    assert (rate.texts, len(rate.latencies), rate.cpu) == (3, 3, None)
    assert rate.wall_seconds >= 0.1  # when the third was due


def test_vectors_come_in_the_order_of_the_texts() -> None:
    with recording() as server:
        found = vectors_of(server)(["one", "two"])
    assert found.tolist() == [[1.0], [1.0]]
