"""Input text: what the tokenizer gets for each kind of input, and refusals before that."""

from collections.abc import Sequence

import pytest

from app.errors import EmptyInput, InvalidInput
from app.inference.tokenizing.encoding_input import EncodingInput
from app.inference.tokenizing.input_text import (
    CHARACTERS_PER_TOKEN,
    EncodeOptions,
    InputText,
    Text,
)

MOST = 2 * CHARACTERS_PER_TOKEN


def spelt(ids: Sequence[int], skip_special_tokens: bool) -> str:
    """Return ids as letters, with the special one as a bar."""
    return "".join(chr(one) for one in ids if one or not skip_special_tokens).replace("\0", "|")


TEXTS = InputText(2, None, spelt)


@pytest.mark.parametrize(
    ("item", "options", "expected"),
    [
        ("text", EncodeOptions(), Text("text", True)),
        ("text", EncodeOptions("query: "), Text("query: text", True)),
        (("a", "b"), EncodeOptions(), Text(("a", "b"), True)),
        ((0, 65, 66), EncodeOptions(), Text("|AB", False)),
        ((0, 65, 66), EncodeOptions("query: "), Text("query: AB", True)),
        ("x" * MOST + "y", EncodeOptions(), Text("x" * MOST, True, is_cut=True)),
        ("y" + "x" * MOST, EncodeOptions(direction="left"), Text("x" * MOST, True, is_cut=True)),
        (
            ("a" * 2 * MOST, "b" * 2 * MOST),
            EncodeOptions(),
            Text(("a" * (MOST // 2), "b" * (MOST // 2)), True, is_cut=True),
        ),
    ],
)
def test_it_is_a_text_with_its_prompt_and_never_too_long(
    item: EncodingInput, options: EncodeOptions, expected: Text
) -> None:
    assert TEXTS.of(item, options) == expected


@pytest.mark.parametrize(
    ("item", "options", "error", "message"),
    [
        ("", EncodeOptions("query: "), EmptyInput, "`inputs` cannot be empty"),
        ((), EncodeOptions(), EmptyInput, "`inputs` cannot be empty"),
        (("a", "b"), EncodeOptions("query: "), InvalidInput, "cannot be set with dual inputs"),
        (
            "x" * (MOST + 1),
            EncodeOptions(truncate=False),
            InvalidInput,
            f"must have less than {MOST} characters. Given: {MOST + 1}",
        ),
    ],
)
def test_invalid_inputs_are_refused(
    item: EncodingInput, options: EncodeOptions, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        TEXTS.of(item, options)
