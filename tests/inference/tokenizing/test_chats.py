"""Pairs by a chat template: one text whose words count as tokens, and whose ending is kept."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from app.errors import InvalidInput
from app.inference.tokenizing.encoding_input import EncodingInput
from app.inference.tokenizing.input_text import EncodeOptions
from app.inference.tokenizing.tokenization import Tokenization
from app.model.manifest import Manifest
from app.model.names import Side
from app.model.pair_text import PairText
from tools import tiny

LONG = "a b c d e " * 4  # 20 words; 22 tokens with the special ones, of 12 allowed


def ids(found: Tokenization, item: EncodingInput, **options: object) -> list[int]:
    [tokens] = found.encode_now([item], EncodeOptions(**options))  # type: ignore[arg-type]
    assert tokens.input_ids.dtype == np.int64
    return [int(one) for one in tokens.input_ids]


@pytest.fixture
def chatting(tiny_model: Path) -> Tokenization:
    """The tokenization of a reranker that reads a pair as one text, with a two-token ending."""
    ending = tuple(tiny.ids_of("e d").tolist()[1:-1])
    pair_text = PairText("the ", " sat ", " e d", ending=ending)
    manifest = replace(Manifest.read(tiny_model), pair_text=pair_text)
    return Tokenization.load(tiny_model, manifest)


def test_a_pair_of_a_chat_is_one_text_without_special_tokens(chatting: Tokenization) -> None:
    expected = tiny.ids_of("the cat sat dog e d").tolist()[1:-1]
    assert ids(chatting, ("cat", "dog")) == expected


@pytest.mark.parametrize(
    ("direction", "words"),
    [
        ("right", "the cat sat " + "a b c d e a b " + "e d"),
        ("left", "a b c d e a b c d e " + "e d"),
    ],
)
def test_a_pair_of_a_chat_that_is_cut_has_its_ending(
    chatting: Tokenization, direction: Side, words: str
) -> None:
    found = ids(chatting, ("cat", LONG.strip()), direction=direction)
    assert found == tiny.ids_of(words).tolist()[1:-1]


def test_the_words_of_a_chat_count_as_tokens_of_its_pairs(chatting: Tokenization) -> None:
    with pytest.raises(InvalidInput, match=r"must have less than 12 tokens\. Given: 15"):
        chatting.encode_now([("cat", "a b c d e a b c d e")], EncodeOptions(truncate=False))


@pytest.mark.parametrize("item", ["the cat", (5, 6)])
def test_a_chat_reads_nothing_but_pairs(chatting: Tokenization, item: EncodingInput) -> None:
    assert chatting.reads_pairs_only
    with pytest.raises(InvalidInput, match="must be pairs of texts"):
        chatting.encode_now([item])
