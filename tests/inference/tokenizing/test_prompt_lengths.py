"""Prompts go before inputs of every form, and may be left out of the pooling."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from app.errors import InvalidInput
from app.inference.tokenizing.encoding_input import EncodingInput
from app.inference.tokenizing.input_text import EncodeOptions
from app.inference.tokenizing.tokenization import Tokenization
from app.model.manifest import Manifest
from app.model.names import POOLING_MASK
from tools import tiny


def ids(found: Tokenization, item: EncodingInput, **options: object) -> list[int]:
    [tokens] = found.encode_now([item], EncodeOptions(**options))  # type: ignore[arg-type]
    assert tokens.input_ids.dtype == np.int64
    return [int(one) for one in tokens.input_ids]


@pytest.fixture
def leaving_out(tiny_model: Path) -> Tokenization:
    """The tokenization of a model that does not pool the tokens of prompts."""
    return leaving_out_of(tiny_model)


def leaving_out_of(folder: Path) -> Tokenization:
    manifest = Manifest.read(folder)
    inputs = (*manifest.graphs[0].inputs, POOLING_MASK)
    graphs = (replace(manifest.graphs[0], inputs=inputs),)
    return Tokenization.load(folder, replace(manifest, graphs=graphs))


def prompt_lengths(found: Tokenization, item: EncodingInput, prompt: str | None) -> int:
    [tokens] = found.encode_now([item], EncodeOptions(prompt))
    return tokens.prompt_length


@pytest.mark.parametrize(
    ("prompt", "length"),
    [(None, 0), ("", 0), ("query: ", 3), ("the cat", 3), ("[SEP]", 2), ("a[SEP]", 3)],
)
def test_the_tokens_of_a_prompt_are_counted_where_they_are_not_pooled(
    leaving_out: Tokenization, tokenization: Tokenization, prompt: str | None, length: int
) -> None:
    assert prompt_lengths(leaving_out, "hello world", prompt) == length
    assert prompt_lengths(leaving_out, (4, 5, 6), prompt) == length
    assert prompt_lengths(tokenization, "hello world", prompt) == 0


def test_a_prompt_that_leaves_no_room_for_the_text_is_refused(
    tiny_model: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(tiny_model, tmp_path / "tiny")
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.post_processor = None
    tokenizer.save(str(folder / "tokenizer.json"))
    plain = leaving_out_of(folder)
    assert prompt_lengths(plain, "hello", "a " * 11) == 11
    with pytest.raises(InvalidInput, match="the prompt takes all 12 tokens that the model has"):
        plain.encode_now(["hello"], EncodeOptions("a " * 12))


def test_a_prompt_stands_before_the_text(tokenization: Tokenization) -> None:
    assert ids(tokenization, "cat", prompt="query: ") == tiny.ids_of("query: cat").tolist()


def test_ids_with_a_prompt_lose_their_special_tokens_and_get_new_ones(
    tokenization: Tokenization,
) -> None:
    plain = tuple(tiny.ids_of("cat").tolist())
    expected = tiny.ids_of("query: cat").tolist()
    assert ids(tokenization, plain, prompt="query: ") == expected
