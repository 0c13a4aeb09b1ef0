"""Pairs of texts are truncated as by the library, and the cut part takes no memory."""

import os
from collections.abc import Callable

import pytest
from tokenizers import Tokenizer

from app.inference.tokenizing import pairs
from app.model.names import Side
from tools.models.tiny_tokenizers import FAMILIES, build
from tools.process import forget_most_resident, most_resident
from tools.texts import passages

LENGTHS = (9, 32)
SIDES: tuple[Side, ...] = ("left", "right")
TEXTS = [
    "a",
    "a cat sat",
    *(
        one[:size]
        for one, size in zip(passages(4, longest_words=90, seed=5), (30, 90, 250, 600), strict=True)
    ),
]
LETTERS = ("a " * 15_000, "b " * 15_000)
MOST_BYTES = 400_000_000


@pytest.fixture(scope="module", params=FAMILIES)
def make(request: pytest.FixtureRequest) -> Callable[[], Tokenizer]:
    """A factory of tokenizers of a family."""
    content = build(FAMILIES[request.param]).to_str()
    return lambda: Tokenizer.from_str(content)


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize("special_tokens", [True, False])
def test_they_are_cut_as_the_library_cuts_them(
    make: Callable[[], Tokenizer], side: Side, special_tokens: bool
) -> None:
    whole = make()
    for length in LENGTHS:
        cutting = make()
        cutting.enable_truncation(length, direction=side)
        every = [(first, second) for first in TEXTS for second in TEXTS]
        expected = cutting.encode_batch_fast(every, add_special_tokens=special_tokens)
        for pair, encoding in zip(every, expected, strict=True):
            found, is_cut = pairs.encode(whole, pair, length, side, special_tokens=special_tokens)
            assert found.ids == encoding.ids
            assert found.type_ids == encoding.type_ids
            assert not found.overflowing
            assert is_cut == bool(encoding.overflowing)


@pytest.mark.parametrize(
    ("lengths", "most", "kept"),
    [
        ((3, 4), 7, (3, 4)),
        ((3, 9), 8, (3, 5)),
        ((9, 3), 8, (5, 3)),
        ((9, 9), 9, (4, 5)),
        ((10, 9), 9, (5, 4)),
        ((20, 3), 2, (1, 1)),
        ((5, 5), 0, (0, 0)),
    ],
)
def test_the_longest_is_cut_first(
    lengths: tuple[int, int], most: int, kept: tuple[int, int]
) -> None:
    assert pairs.kept_of_each(*lengths, most) == kept


def test_two_long_texts_take_as_much_memory_as_they_are_long() -> None:
    """Pairs of thirty thousand letters each, cut to 256 tokens, once took two gigabytes."""
    whole = build(next(iter(FAMILIES.values())))
    forget_most_resident(os.getpid())
    before = most_resident(os.getpid())
    assert pairs.may_have_many_parts(LETTERS, 256)
    found, is_cut = pairs.encode(whole, LETTERS, 256, "right", special_tokens=True)
    assert (len(found), is_cut) == (256, True)
    assert most_resident(os.getpid()) - before < MOST_BYTES
