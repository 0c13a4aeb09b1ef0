"""Texts of any length as tokens, without what stands around them."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

from app.errors import BatchTooLarge, InvalidInput
from app.inference.tokenizing.documents import (
    TOKENS_AT_ONCE,
    Document,
    document,
    require_windows,
)
from app.inference.tokenizing.input_text import EncodeOptions
from app.inference.tokenizing.slice_scheduler import SliceScheduler
from app.inference.tokenizing.tokenization import Tokenization
from app.model.manifest import Manifest
from tools import tiny

CLS, SEP = 2, 3


@pytest.fixture
def tokenization(tiny_model: Path) -> Iterator[Tokenization]:
    made = Tokenization.load(tiny_model, Manifest.read(tiny_model))
    yield made
    made.close()


def read(tokenization: Tokenization, text: str, prompt: str | None = None) -> Document:
    return tokenization.document_now(text, EncodeOptions(prompt, truncate=False, windows=9))


def test_a_window_is_what_the_model_reads_of_a_part(tokenization: Tokenization) -> None:
    words = ["cat", "sat", "dog", "mat"] * 5
    found = read(tokenization, " ".join(words))
    assert (len(found), found.before, found.after) == (20, 1, 1)
    assert found.room(12) == 10
    part = found.window(10, 20)
    assert part.input_ids.tolist() == tiny.ids_of(" ".join(words[10:])).tolist()
    assert part.token_type_ids is None
    assert found.window(0, 20).input_ids.tolist() == [CLS, *map(tiny.WORDS.index, words), SEP]


def test_a_prompt_stands_in_every_window(tokenization: Tokenization) -> None:
    found = read(tokenization, "cat sat dog", "query: ")
    assert (len(found), found.before, found.after) == (3, 3, 1)
    assert found.window(1, 3).input_ids.tolist() == tiny.ids_of("query: sat dog").tolist()
    assert found.places.tolist() == [2, 6, 10]


def test_a_prompt_that_is_not_pooled_is_marked_in_every_window(tokenization: Tokenization) -> None:
    leaving_out = Tokenization(
        tokenization.tokenizers, 12, SliceScheduler(1, "tokenize"), leaves_out_prompts=True
    )
    found = read(leaving_out, "cat sat dog", "query: ")
    assert [found.window(0, 1).prompt_length, found.window(2, 3).prompt_length] == [3, 3]
    assert read(tokenization, "cat", "query: ").prompt_length == 0
    leaving_out.close()


def test_places_are_those_of_last_characters(tokenization: Tokenization) -> None:
    text = "é  dogs,\ncat 𝔘!"
    found = read(tokenization, text)
    assert [text[place] for place in found.places] == ["é", "g", "s", ",", "t", "𝔘", "!"]


def test_a_space_kept_with_its_word_is_the_text_s() -> None:
    """As in byte-level BPE: the prompt's tokens of `q: the cat` are `q` and `:`."""
    vocabulary = {"[CLS]": 0, "q": 1, ":": 2, "Ġthe": 3, "Ġcat": 4, "Ġ": 5}
    made = Tokenizer(models.WordLevel(vocabulary, "[CLS]"))
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(":", "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    made.decoder = decoders.ByteLevel()
    made.post_processor = processors.TemplateProcessing("[CLS] $A", special_tokens=[("[CLS]", 0)])
    [encoding] = made.encode_batch(["q: the cat"])
    assert encoding.tokens == ["[CLS]", "q", ":", "Ġthe", "Ġcat"]
    found = document(encoding, "q: ", 0)
    assert (found.before, len(found), found.after) == (3, 2, 0)
    assert found.window(1, 2).input_ids.tolist() == [0, 1, 2, 4]
    assert found.places.tolist() == [2, 6]


def test_a_text_of_nothing_but_space_has_no_tokens(tokenization: Tokenization) -> None:
    found = read(tokenization, "  ")
    assert (len(found), found.window(0, 0).input_ids.tolist()) == (0, [CLS, SEP])


def test_ids_are_not_divided(tokenization: Tokenization) -> None:
    options = EncodeOptions(truncate=False, windows=9)
    ids = tuple(tiny.ids_of("the cat").tolist())
    found = tokenization.document_now(ids, options)
    assert found.window(0, len(found)).input_ids.tolist() == list(ids)
    with pytest.raises(InvalidInput, match=r"less than 12 tokens where it is token ids.*Given: 13"):
        tokenization.document_now((4,) * 13, options)


def test_a_prompt_leaves_room(tokenization: Tokenization) -> None:
    found = read(tokenization, "cat " * 20, "a a a a a a a a a ")
    assert found.room(12) == 1
    with pytest.raises(InvalidInput, match="the prompt takes all 11 tokens"):
        found.room(11)


def test_no_more_is_read_than_may_be_computed(tokenization: Tokenization) -> None:
    options = EncodeOptions(truncate=False, windows=2)
    with pytest.raises(BatchTooLarge, match=r"at least 3 windows of 12 tokens > .* batch size 2;"):
        tokenization.document_now("cat " * 23, options)
    with pytest.raises(InvalidInput, match=r"less than 6000 characters\. Given: 6001"):
        tokenization.document_now("x" * 6001, options)
    require_windows(2, 12, 2)


def test_a_text_is_read_in_parts(tokenization: Tokenization) -> None:
    words = [tiny.WORDS[4 + place % 11] for place in range(3 * TOKENS_AT_ONCE)]
    options = EncodeOptions(truncate=False, windows=9_999)
    found = tokenization.document_now(" ".join(words), options)
    assert found.input_ids.tolist() == [CLS, *map(tiny.WORDS.index, words), SEP]
    ends = np.cumsum([len(word) + 1 for word in words]) - 2
    assert found.places.tolist() == ends.tolist()
    assert found.nbytes == (2 * len(words) + 2) * 8


def test_types_of_tokens_are_kept() -> None:
    found = Document(np.arange(5), np.array([2, 0, 0, 0, 1]), 1, 1, np.arange(3), 0)
    part = found.window(2, 3)
    assert part.input_ids.tolist() == [0, 3, 4]
    assert part.token_type_ids is not None
    assert part.token_type_ids.tolist() == [2, 0, 1]
