import asyncio
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from app.errors import EmptyInput, InvalidInput, StartupError, TokenizationFailed
from app.inference.manifest import Manifest
from app.inference.tokenization import (
    ENCODED_AT_ONCE,
    EncodeOptions,
    EncodingInput,
    Tokenization,
)
from tests import tiny

LONG = "a b c d e " * 4  # 20 words; 22 tokens with the special ones, of 12 allowed
CLS, SEP = 2, 3


@pytest.fixture(scope="module")
def tokenization(tiny_model: Path) -> Tokenization:
    return Tokenization.load(tiny_model, Manifest.read(tiny_model), workers=2)


def ids(found: Tokenization, item: EncodingInput, **options: object) -> list[int]:
    [tokens] = found.encode_now([item], EncodeOptions(**options))  # type: ignore[arg-type]
    assert tokens.input_ids.dtype == np.int64
    return [int(one) for one in tokens.input_ids]


def test_a_text_gets_its_special_tokens_and_no_padding(tokenization: Tokenization) -> None:
    assert ids(tokenization, "the cat") == tiny.ids_of("the cat").tolist()


def test_what_the_file_says_of_truncation_and_padding_does_not_count(
    tokenization: Tokenization,
) -> None:
    assert len(ids(tokenization, "a b c d e")) == 7  # the file truncates at 5 and pads to 32


def test_truncation_keeps_either_end_and_the_special_tokens(tokenization: Tokenization) -> None:
    words = tiny.ids_of(LONG)[1:-1].tolist()
    assert ids(tokenization, LONG) == [CLS, *words[:10], SEP]
    assert ids(tokenization, LONG, direction="left") == [CLS, *words[-10:], SEP]


def test_without_truncation_one_token_too_many_is_refused(tokenization: Tokenization) -> None:
    assert len(ids(tokenization, "a " * 10, truncate=False)) == 12
    with pytest.raises(InvalidInput) as caught:
        ids(tokenization, "a " * 11, truncate=False)
    assert str(caught.value) == (
        "Input validation error: `inputs` must have less than 12 tokens. Given: 13"
    )


def test_too_many_characters_are_refused_before_they_are_tokenized(
    tokenization: Tokenization,
) -> None:
    assert ids(tokenization, "a" * 3000, truncate=False)
    with pytest.raises(InvalidInput) as caught:
        ids(tokenization, "ä" * 3001, truncate=False)
    assert str(caught.value) == (
        "Input validation error: `inputs` must have less than 3000 characters. Given: 3001"
    )


def test_a_huge_text_is_cut_on_the_side_that_truncation_drops(tokenization: Tokenization) -> None:
    text = "a " * 1500 + "b " * 1500
    assert ids(tokenization, text) == tiny.ids_of("a " * 10).tolist()
    assert ids(tokenization, text, direction="left") == tiny.ids_of("b " * 10).tolist()


def test_a_prompt_stands_before_the_text(tokenization: Tokenization) -> None:
    assert ids(tokenization, "cat", prompt="query: ") == tiny.ids_of("query: cat").tolist()


def test_ids_go_through_text_and_bring_their_own_special_tokens(
    tokenization: Tokenization,
) -> None:
    plain = tuple(tiny.ids_of("the cat").tolist())
    assert ids(tokenization, plain) == list(plain)
    assert ids(tokenization, plain[1:-1]) == list(plain[1:-1])


def test_ids_with_a_prompt_lose_their_special_tokens_and_get_new_ones(
    tokenization: Tokenization,
) -> None:
    plain = tuple(tiny.ids_of("cat").tolist())
    expected = tiny.ids_of("query: cat").tolist()
    assert ids(tokenization, plain, prompt="query: ") == expected


def test_unknown_ids_vanish_and_nothing_left_is_refused(tokenization: Tokenization) -> None:
    assert ids(tokenization, (CLS, 4_000_000_000, SEP)) == [CLS, SEP]
    with pytest.raises(InvalidInput, match="`inputs` has no tokens"):
        ids(tokenization, (4_000_000_000,))


@pytest.mark.parametrize("nothing", ["", ()])
def test_an_empty_input_is_refused(tokenization: Tokenization, nothing: EncodingInput) -> None:
    with pytest.raises(EmptyInput) as caught:
        tokenization.encode_now(["a", nothing, "b"])
    assert str(caught.value) == "Input validation error: `inputs` cannot be empty"


def test_blank_is_not_empty(tokenization: Tokenization) -> None:
    assert ids(tokenization, " \t\n") == [CLS, SEP]


def test_the_first_fault_wins_whatever_stage_finds_it(tokenization: Tokenization) -> None:
    options = EncodeOptions(truncate=False)
    with pytest.raises(InvalidInput, match="less than 12 tokens"):
        tokenization.encode_now(["a", LONG, ""], options)
    with pytest.raises(EmptyInput):
        tokenization.encode_now(["a", "", LONG], options)


def test_texts_and_ids_keep_their_order_in_a_batch(tokenization: Tokenization) -> None:
    found = tokenization.encode_now(["cat", (CLS, 9, SEP), "dog", (CLS, 10, SEP)])
    assert [one.input_ids[1] for one in found] == [
        tiny.WORDS.index("cat"),
        9,
        tiny.WORDS.index("dog"),
        10,
    ]


def test_a_special_token_in_a_text_is_what_it_says(tokenization: Tokenization) -> None:
    assert ids(tokenization, "a [SEP] b") == [CLS, 4, SEP, 5, SEP]


def test_a_lone_surrogate_is_an_error_of_the_tokenizer(tokenization: Tokenization) -> None:
    with pytest.raises(TokenizationFailed, match="tokenizer error"):
        ids(tokenization, "\ud800")


@pytest.mark.parametrize(
    "text", ["\x00", "\ufeff", "\u200b", "\ue000", "😀👩‍👩‍👧", "a\u0300" * 50, "\U0010ffff", "‮abc"]
)
def test_odd_text_gets_tokens(tokenization: Tokenization, text: str) -> None:
    found = ids(tokenization, text)
    assert (found[0], found[-1]) == (CLS, SEP)


def test_the_pool_keeps_requests_apart(tokenization: Tokenization) -> None:
    """Truncation is state inside `tokenizers`: one request's must not reach another."""

    def encode(place: int) -> int:
        direction = "left" if place % 2 else "right"
        [one] = tokenization.encode_now([LONG], EncodeOptions(direction=direction))  # type: ignore[arg-type]
        return int(one.input_ids[1])

    with ThreadPoolExecutor(4) as pool:
        firsts = list(pool.map(encode, range(400)))
    words = tiny.ids_of(LONG)[1:-1]
    assert set(firsts[0::2]) == {words[0]}
    assert set(firsts[1::2]) == {words[-10]}


def test_the_event_loop_gets_the_same_answer(tokenization: Tokenization) -> None:
    [one] = asyncio.run(tokenization.encode(["the cat"], EncodeOptions()))
    assert one.input_ids.tolist() == ids(tokenization, "the cat")


def test_a_file_that_is_no_tokenizer_is_named(tmp_path: Path, tiny_model: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(StartupError, match=r"tokenizer\.json cannot be loaded"):
        Tokenization.load(tmp_path, Manifest.read(tiny_model))


def test_a_tokenizer_of_another_model_is_refused(tmp_path: Path, tiny_model: Path) -> None:
    shutil.copy(tiny_model / "tokenizer.json", tmp_path)
    smaller = replace(Manifest.read(tiny_model), vocabulary_size=5)
    with pytest.raises(StartupError, match=r"has \d+ tokens, the model only 5"):
        Tokenization.load(tmp_path, smaller)


def test_one_text_does_not_wait_for_all_of_many(tiny_model: Path) -> None:
    found = Tokenization.load(tiny_model, Manifest.read(tiny_model), workers=1)
    order: list[int] = []

    async def encode(count: int) -> None:
        tokenized = await found.encode(["the cat"] * count, EncodeOptions())
        order.append(len(tokenized))

    async def both() -> None:
        await asyncio.gather(encode(20 * ENCODED_AT_ONCE), encode(1))

    asyncio.run(both())
    found.close()
    assert order == [1, 20 * ENCODED_AT_ONCE]


def test_of_many_inputs_the_first_at_fault_is_named(tokenization: Tokenization) -> None:
    inputs = ["a"] * (ENCODED_AT_ONCE + 1) + ["a " * 30, ""]

    async def encode() -> None:
        await tokenization.encode(inputs, EncodeOptions(truncate=False))

    with pytest.raises(InvalidInput, match="Given: 32"):
        asyncio.run(encode())
