"""Tokenizer set: each way of truncating, and invalid files."""

from dataclasses import replace
from pathlib import Path

import pytest

from app.errors import StartupError, TokenizationFailed
from app.inference.tokenizing.tokenizer_set import TokenizerSet, guarded
from app.model.manifest import TOKENIZER_FILE, Manifest
from tools import tiny

LONG = "the cat " * 40


@pytest.fixture
def tokenizers(tiny_model: Path) -> TokenizerSet:
    return TokenizerSet.load(tiny_model, Manifest.read(tiny_model), 5)


def test_each_cuts_its_own_side_to_its_own_length(tokenizers: TokenizerSet) -> None:
    whole = tokenizers.whole.encode(LONG).ids
    assert len(whole) == 82
    assert tokenizers.cutting("right", 5).encode(LONG).ids == [*whole[:4], whole[-1]]
    assert tokenizers.cutting("left", 5).encode(LONG).ids == [whole[0], *whole[-4:]]


def test_ids_are_decoded_with_or_without_special_tokens(tokenizers: TokenizerSet) -> None:
    ids = tokenizers.whole.encode("the cat").ids
    assert tokenizers.decoded(ids, skip_special_tokens=True) == "the cat"
    assert tokenizers.decoded(ids, skip_special_tokens=False) == "[CLS] the cat [SEP]"


def test_a_prompt_is_as_long_as_by_itself_but_for_its_end(tokenizers: TokenizerSet) -> None:
    assert tokenizers.prompt_length("the cat", 5) == 3  # with the token that stands before it


def test_a_tokenizer_of_another_model_is_refused(tiny_model: Path) -> None:
    manifest = replace(Manifest.read(tiny_model), vocabulary_size=3)
    with pytest.raises(StartupError, match="tokens, the model only 3: they do not belong together"):
        TokenizerSet.load(tiny_model, manifest, 5)


def test_a_file_that_is_no_tokenizer_is_named(tmp_path: Path) -> None:
    manifest = tiny.build(tmp_path)
    (tmp_path / TOKENIZER_FILE).write_text("{}")
    with pytest.raises(StartupError, match=r"tokenizer\.json cannot be loaded: "):
        TokenizerSet.load(tmp_path, manifest, 5)


def test_a_panic_of_the_library_is_an_error_of_ours() -> None:
    class Panic(BaseException):
        """A panic like Rust's, which is no Exception."""

    def panics() -> None:
        raise Panic("at the disco")

    with pytest.raises(TokenizationFailed, match="tokenizer error at the disco"):
        guarded(panics)
