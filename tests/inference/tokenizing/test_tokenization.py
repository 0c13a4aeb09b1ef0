import asyncio
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from app.errors import EmptyInput, InvalidInput, ServiceError, TokenizationFailed
from app.inference.tokenizing import encodings
from app.inference.tokenizing.encoding_input import EncodingInput
from app.inference.tokenizing.input_text import EncodeOptions
from app.inference.tokenizing.tokenization import ENCODED_AT_ONCE, Tokenization
from app.model.manifest import Manifest
from app.model.names import Side
from tools import tiny
from tools.process import forget_most_resident, most_resident

LONG = "a b c d e " * 4  # 20 words; 22 tokens with the special ones, of 12 allowed
CLS, SEP = 2, 3


def ids(found: Tokenization, item: EncodingInput, **options: object) -> list[int]:
    [tokens] = found.encode_now([item], EncodeOptions(**options))  # type: ignore[arg-type]
    assert tokens.input_ids.dtype == np.int64
    return [int(one) for one in tokens.input_ids]


def test_a_text_gets_its_special_tokens_and_no_padding(tokenization: Tokenization) -> None:
    assert ids(tokenization, "the cat") == tiny.ids_of("the cat").tolist()


def test_truncation_and_padding_of_the_file_are_ignored(
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


def test_ids_go_through_text_and_bring_their_own_special_tokens(
    tokenization: Tokenization,
) -> None:
    plain = tuple(tiny.ids_of("the cat").tolist())
    assert ids(tokenization, plain) == list(plain)
    assert ids(tokenization, plain[1:-1]) == list(plain[1:-1])


def test_decoded_ids_are_truncated_as_a_text_is(
    tokenization: Tokenization, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ids up to the limit of a text decode to nine times its length."""
    given: list[int] = []
    encode = encodings.encode_batch

    def noted(tokenizer: Tokenizer, texts: Any) -> Any:
        given.extend(len(one.text) for one in texts)
        return encode(tokenizer, texts)

    monkeypatch.setattr(encodings, "encode_batch", noted)
    many = (tiny.WORDS.index("hello"),) * 3_000
    assert ids(tokenization, many) == [many[0]] * 12
    assert given == [3_000]


def test_two_long_texts_take_no_more_memory_than_one(tokenization: Tokenization) -> None:
    """Each part of one with each part of the other once made 62,500 inputs of full length."""
    letters = "a " * 750, "b " * 750
    forget_most_resident(os.getpid())
    before = most_resident(os.getpid())
    assert len(ids(tokenization, letters)) == 12
    assert most_resident(os.getpid()) - before < 20_000_000


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
    "text",
    [
        "\x00",
        "\ufeff",
        "\u200b",
        "\ue000",
        "😀👩‍👩‍👧",
        "a\u0300" * 50,
        "\U0010ffff",
        "‮abc",
        "x" * 1_000_000,
    ],
)
def test_odd_text_gets_tokens(tokenization: Tokenization, text: str) -> None:
    found = ids(tokenization, text)
    assert (found[0], found[-1]) == (CLS, SEP)


def test_the_pool_keeps_requests_apart(tokenization: Tokenization) -> None:
    """Truncation is state inside `tokenizers`: one request's must not affect another."""

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


def test_one_text_does_not_wait_for_all_of_many(tiny_model: Path) -> None:
    found = Tokenization.load(tiny_model, Manifest.read(tiny_model))
    order: list[int] = []

    async def encode(count: int) -> None:
        tokenized = await found.encode(["the cat"] * count, EncodeOptions())
        order.append(len(tokenized))

    async def both() -> None:
        await asyncio.gather(encode(20 * ENCODED_AT_ONCE), encode(1))

    asyncio.run(both())
    found.close()
    assert order == [1, 20 * ENCODED_AT_ONCE]


TEXTS = st.one_of(
    st.lists(st.sampled_from([*tiny.WORDS, "unknown", " ", "\n", "\0"]), max_size=30).map(" ".join),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=40),
).filter(bool)
DIRECTIONS = st.sampled_from(["left", "right"])


def whole(text: str | tuple[str, str]) -> list[int]:
    """Return every id of a text, however long it is."""
    found = tiny.encoded(*((text,) if isinstance(text, str) else text))
    return [int(one) for one in found.input_ids]


@given(text=TEXTS, direction=DIRECTIONS)
def test_truncation_keeps_what_fits_of_one_end(
    tokenization: Tokenization, text: str, direction: Side
) -> None:
    first, *words, last = whole(text)
    room = tiny.MAX_LENGTH - 2
    kept = words[:room] if direction == "right" else words[-room:]
    assert ids(tokenization, text, direction=direction) == [first, *kept, last]
    if len(words) > room:
        with pytest.raises(InvalidInput, match=f"Given: {len(words) + 2}"):
            ids(tokenization, text, direction=direction, truncate=False)
    else:
        assert ids(tokenization, text, truncate=False) == [first, *words, last]


@given(left=TEXTS, right=TEXTS, direction=DIRECTIONS)
def test_a_pair_is_cut_to_what_the_model_takes(
    tokenization: Tokenization, left: str, right: str, direction: Side
) -> None:
    [found] = tokenization.encode_now([(left, right)], EncodeOptions(direction=direction))
    size = len(whole((left, right)))
    assert len(found) == min(size, tiny.MAX_LENGTH)
    assert found.input_ids[0] == CLS
    assert found.input_ids[-1] == SEP
    types = [0] * len(found) if found.token_type_ids is None else found.token_type_ids.tolist()
    assert types == sorted(types)  # the left text first


@given(st.lists(TEXTS | st.tuples(TEXTS, TEXTS), min_size=1, max_size=8), DIRECTIONS)
def test_an_input_is_the_same_in_any_company(
    tokenization: Tokenization, inputs: list[EncodingInput], direction: Side
) -> None:
    options = EncodeOptions(direction=direction)
    together = tokenization.encode_now(inputs, options)
    for item, found in zip(inputs, together, strict=True):
        [alone] = tokenization.encode_now([item], options)
        assert alone.input_ids.tolist() == found.input_ids.tolist()


@given(
    st.lists(st.integers(0, 2**32 - 1) | st.integers(0, 30), max_size=40).map(tuple),
    DIRECTIONS,
    st.booleans(),
    st.none() | st.just("query: "),
)
def test_any_ids_are_encoded_or_refused(
    tokenization: Tokenization,
    item: tuple[int, ...],
    direction: Side,
    truncate: bool,
    prompt: str | None,
) -> None:
    try:
        [found] = tokenization.encode_now([item], EncodeOptions(prompt, truncate, direction))
    except ServiceError as refusal:
        str(refusal).encode()  # as an answer is encoded
    else:
        assert 1 <= len(found) <= tiny.MAX_LENGTH
        assert found.input_ids.max() < len(tiny.WORDS)
