"""Encodings of a batch: in the order of its texts, with those that were truncated."""

from pathlib import Path

import pytest

from app.inference.tokenizing.encodings import encode
from app.inference.tokenizing.input_text import EncodeOptions, Text
from app.inference.tokenizing.tokenizer_set import TokenizerSet
from app.model.manifest import Manifest
from app.model.names import Side
from tools import tiny

LENGTH = tiny.MAX_LENGTH
MANY = " ".join(["a"] * 750)


@pytest.fixture
def tokenizers(tiny_model: Path) -> TokenizerSet:
    return TokenizerSet.load(tiny_model, Manifest.read(tiny_model), LENGTH)


@pytest.mark.parametrize("side", ["left", "right"])
def test_longer_texts_are_truncated(tokenizers: TokenizerSet, side: Side) -> None:
    texts = [
        Text("a", True),
        Text(" ".join(["a"] * 11), True),
        Text(" ".join(["a"] * 10), True),
        Text((MANY, MANY), True),  # encoded apart
        Text((" ".join(["a"] * 5), "b b b b"), True),
        Text((" ".join(["a"] * 5), "b b b b b"), True),
        Text("b", False),
        Text(" ".join(["b"] * 13), False),
        Text("a", True, is_cut=True),
    ]
    found = encode(tokenizers, texts, EncodeOptions(direction=side), LENGTH)
    assert [len(one.encoding) for one in found] == [3, 12, 12, 12, 12, 12, 1, 12, 3]
    expected = [False, True, False, True, False, True, False, True, True]
    assert [one.is_cut for one in found] == expected


def test_texts_without_truncation_are_whole(tokenizers: TokenizerSet) -> None:
    texts = [Text(MANY, True), Text((MANY, MANY), True)]
    found = encode(tokenizers, texts, EncodeOptions(truncate=False), LENGTH)
    assert [(len(one.encoding), one.is_cut) for one in found] == [(752, False), (1503, False)]
