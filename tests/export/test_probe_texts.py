"""Probes: enough of them, of many scripts and lengths, in an order that pads unevenly."""

import unicodedata
from itertools import pairwise

import pytest

from export import probe_texts

SCRIPTS = "LATIN CYRILLIC GREEK ARABIC HEBREW DEVANAGARI CJK HIRAGANA KATAKANA HANGUL THAI DIGIT"


def test_there_are_enough_and_no_two_are_equal() -> None:
    texts = probe_texts.texts(256)
    assert len(texts) >= 96
    assert len(set(texts)) == len(texts)
    assert all(text.strip() for text in texts)


def test_they_are_the_same_every_time() -> None:
    assert probe_texts.texts(256) == probe_texts.texts(256)


@pytest.mark.parametrize("script", SCRIPTS.split())
def test_script_is_there(script: str) -> None:
    assert any(
        unicodedata.name(character, "").startswith(script)
        for text in probe_texts.texts(64)
        for character in text
    )


@pytest.mark.parametrize("max_input_length", [8, 256, 512, 8192])
def test_some_are_longer_than_the_model_takes_but_bounded(max_input_length: int) -> None:
    words = [len(text.split()) for text in probe_texts.texts(max_input_length)]
    assert sum(count > min(max_input_length, 1024) for count in words) >= 3
    assert max(words) <= 2048


def test_neighbours_differ_in_length() -> None:
    lengths = [len(text) for text in probe_texts.texts(256)]
    equal = sum(left == right for left, right in pairwise(lengths))
    assert equal <= len(lengths) // 20
    assert all(max(lengths[i : i + 16]) > 4 * min(lengths[i : i + 16]) for i in range(80))


def test_models_that_yield_vectors_are_asked_enough_to_choose_a_precision() -> None:
    for task in ("embedding", "splade"):
        every = probe_texts.for_task(task, 256)
        assert len(every) >= 500
        assert len(set(every)) == len(every)
    assert probe_texts.for_task("reranker", 256, prose=0) == probe_texts.pairs(256)
    assert probe_texts.for_task("embedding", 256, prose=0) == probe_texts.texts(256)


def test_rerankers_are_asked_for_texts_that_belong_together() -> None:
    every = probe_texts.for_task("reranker", 256)
    assert len(set(every)) == len(every) > 180
    found = probe_texts.related(90)
    assert len(found) == 90
    assert all(query in text and len(text) > 2 * len(query) - 40 for query, text in found)


def test_prose_is_made_of_sentences_of_many_lengths() -> None:
    texts = probe_texts.from_manual(420)
    words = [len(text.split()) for text in texts]
    assert len(texts) > 400
    assert len(set(texts)) == len(texts)
    assert (min(words), max(words)) == (3, 64)
    assert all(text[0].isprintable() and text == " ".join(text.split()) for text in texts)
