"""Of many inputs the first invalid one is named, whatever stage finds it."""

import asyncio

import pytest

from app.errors import EmptyInput, InvalidInput
from app.inference.tokenizing.input_text import EncodeOptions
from app.inference.tokenizing.tokenization import ENCODED_AT_ONCE, Tokenization

LONG = "a b c d e " * 4  # 20 words; 22 tokens with the special ones, of 12 allowed


def test_the_first_fault_wins_whatever_stage_finds_it(tokenization: Tokenization) -> None:
    options = EncodeOptions(truncate=False)
    with pytest.raises(InvalidInput, match="less than 12 tokens"):
        tokenization.encode_now(["a", LONG, ""], options)
    with pytest.raises(EmptyInput):
        tokenization.encode_now(["a", "", LONG], options)


def test_the_first_invalid_one_of_many_inputs_is_named(tokenization: Tokenization) -> None:
    inputs = ["a"] * (ENCODED_AT_ONCE + 1) + ["a " * 30, ""]

    async def encode() -> None:
        await tokenization.encode(inputs, EncodeOptions(truncate=False))

    with pytest.raises(InvalidInput, match="Given: 32"):
        asyncio.run(encode())
