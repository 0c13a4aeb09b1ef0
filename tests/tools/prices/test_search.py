"""The search finds a planted optimum, keeps the best of each price, and is reproducible."""

from random import Random

from tools.prices.genes import Genes, changed, drawn
from tools.prices.search import KEPT, Prices, Search, Species


def planted(genes: Genes) -> tuple[Genes, Prices]:
    """Price emoji higher, the more so in long words and when escaped."""
    cost = 1.0 + (genes.kind == "emoji") * (1 + min(genes.word, 500) + 500 * genes.escaped)
    return genes, {"cpu": cost, "answer": genes.count}


def searched(seed: int, measured: int) -> Search[Genes]:
    search = Search(Species(drawn, changed, planted), Random(seed))
    left = iter(range(measured))
    search.run(("cpu", "answer"), [Genes()], lambda: next(left, None) is None)
    return search


def test_it_climbs_to_what_was_planted() -> None:
    for seed in range(3):
        best = searched(seed, 1_500).best("cpu")[0]
        assert (best.kind, best.escaped) == ("emoji", True)
        assert best.word >= 500


def test_it_keeps_the_most_expensive_by_each_price() -> None:
    search = searched(0, 300)
    counts = [one.count for one in search.best("answer")]
    assert len(counts) == KEPT
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > 50_000


def test_the_seed_fixes_what_is_tried() -> None:
    assert searched(5, 200).kept == searched(5, 200).kept
    assert searched(5, 200).kept != searched(6, 200).kept


def test_the_starting_points_are_never_lost() -> None:
    search = Search(Species(drawn, changed, planted), Random(0))
    known = Genes(kind="emoji", word=500, escaped=True, count=32)
    left = iter(range(100))
    search.run(("answer",), [known], lambda: next(left, None) is None)
    assert search.best("cpu")[0] == known
