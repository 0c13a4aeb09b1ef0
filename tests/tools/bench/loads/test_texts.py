"""The bench's texts: their lengths, and that none repeats."""

import pytest

from tools.bench.loads.texts import QUERY_WORDS, Fresh, by_length, in_words


def sizes(texts: list[str]) -> list[int]:
    """Return the number of words of each text."""
    return [len(text.split(" ")) for text in texts]


def test_no_text_is_handed_out_twice() -> None:
    fresh = Fresh(QUERY_WORDS, seed=1)
    found = [text for _ in range(10) for text in fresh.take(300)]
    assert len(set(found)) == len(found) == 3000


def test_texts_get_longer_when_short_ones_run_out() -> None:
    fresh = Fresh((1, 1), seed=1)
    found = fresh.take(20_000)
    assert len(set(found)) == len(found)
    assert max(sizes(found)) > 1


def test_texts_ahead_are_taken_next() -> None:
    fresh = Fresh(QUERY_WORDS, seed=1)
    ahead = fresh.ahead(5)
    assert fresh.take(2) == ahead[:2]
    assert fresh.ahead(3) == ahead[2:]


def test_the_same_seed_gives_the_same_texts() -> None:
    assert Fresh((3, 9), seed=1).take(50) == Fresh((3, 9), seed=1).take(50)
    assert Fresh((3, 9), seed=1).take(50) != Fresh((3, 9), seed=2).take(50)


@pytest.mark.parametrize("skipped", [0, 1, 7])
def test_lengths_are_spread_evenly_in_any_stretch(skipped: int) -> None:
    fresh = Fresh((3, 25), seed=1)
    fresh.take(skipped)
    found = sizes(fresh.take(230))
    assert (min(found), max(found)) == (3, 25)
    assert 13.5 < sum(found) / len(found) < 14.5


def test_unsuitable_texts_are_skipped() -> None:
    found = Fresh((5, 20), seed=1, suits=lambda text: "the" in text).take(100)
    assert all("the" in text for text in found)


def test_the_shorter_ones_of_each_chunk_come_first() -> None:
    texts = Fresh((3, 25), seed=1).take(100)
    found = by_length(texts)
    assert found[:64] == sorted(texts[:64], key=len)
    assert found[64:] == sorted(texts[64:], key=len)


def test_texts_of_few_words_differ_as_long_as_there_are_enough() -> None:
    texts = ["one two three", "four", "five six"] * 20
    found = in_words(texts, ["a", "b", "c", "d"])
    assert sizes(found) == sizes(texts)
    assert len(set(found[::3])) == 20
    assert set(" ".join(found).split()) == {"a", "b", "c", "d"}
