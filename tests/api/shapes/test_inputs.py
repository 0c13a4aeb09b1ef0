"""The forms of inputs in a body, and the error for any other."""

from collections.abc import Callable
from typing import Any

import pytest

from app.api.shapes.fields import MAX_U32, Misfit
from app.api.shapes.inputs import (
    decode_ids,
    embed_input,
    memory_of,
    predict_input,
    tokenize_input,
)


@pytest.mark.parametrize(
    ("read", "value", "found"),
    [
        (embed_input, "a", (["a"], False)),
        (embed_input, [1, MAX_U32], ([(1, MAX_U32)], False)),
        (embed_input, [], ([()], False)),
        (embed_input, ["a", [1]], (["a", (1,)], True)),
        (predict_input, "a", (["a"], False)),
        (predict_input, ["a"], (["a"], False)),
        (predict_input, ["a", "b"], ([("a", "b")], False)),
        (predict_input, [["a"], ["b", "c"]], (["a", ("b", "c")], True)),
        (tokenize_input, "a", ["a"]),
        (tokenize_input, [], []),
        (decode_ids, [1, 2], [[1, 2]]),
        (decode_ids, [[1], []], [[1], []]),
    ],
)
def test_each_form_is_known(read: Callable[[Any], Any], value: Any, found: Any) -> None:
    assert read(value) == found


@pytest.mark.parametrize(
    ("read", "value", "message"),
    [
        (embed_input, [-1], "data did not match any variant of untagged enum Input"),
        (embed_input, [MAX_U32 + 1], "data did not match any variant of untagged enum Input"),
        (embed_input, [True], "data did not match any variant of untagged enum Input"),
        (predict_input, [[1]], "data did not match any variant of untagged enum Internal"),
        (tokenize_input, [1], "data did not match any variant of untagged enum TokenizeInput"),
        (decode_ids, ["a"], "data did not match any variant of untagged enum InputIds"),
    ],
)
def test_other_forms_are_refused(read: Callable[[Any], Any], value: Any, message: str) -> None:
    with pytest.raises(Misfit) as caught:
        read(value)
    assert caught.value.message == message


@pytest.mark.parametrize("texts", [[], ["a", "b", "c"], [["a", "b", "c"]]])
def test_an_input_to_predict_is_a_text_or_two(texts: list[Any]) -> None:
    length = len(texts[0]) if texts and isinstance(texts[0], list) else len(texts)
    with pytest.raises(Misfit) as caught:
        predict_input(texts)
    assert caught.value.message.startswith(f"invalid length {length}, expected a string, a pair")


def test_a_text_of_many_pairs_is_in_memory_once() -> None:
    query, texts = "q" * 1000, ["a" * 100, "b" * 100]
    pairs = [(query, text) for text in texts]
    assert memory_of(pairs) < 1000 + 2 * 100 + 500
    assert memory_of([[1] * 1000]) == 36_000
