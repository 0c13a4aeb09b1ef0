"""Row keys: equal for inputs with equal rows, and for nothing else."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from app.inference.reuse.row_keys import RowKeys
from app.inference.reuse.row_store import KEY_BYTES
from app.model.batch import TokenizedInput

KEYS = RowKeys()


def tokens(
    ids: list[int], types: list[int] | None = None, prompt_length: int = 0
) -> TokenizedInput:
    array = None if types is None else np.array(types, np.int64)
    return TokenizedInput(np.array(ids, np.int64), array, prompt_length)


def test_a_key_is_of_the_ids_their_types_the_prompt_the_output_and_the_route() -> None:
    every = [
        KEYS.key(tokens([1, 2, 3]), "out", ""),
        KEYS.key(tokens([1, 2, 4]), "out", ""),
        KEYS.key(tokens([1, 2]), "out", ""),
        KEYS.key(tokens([1, 2, 3], [0, 0, 1]), "out", ""),
        KEYS.key(tokens([1, 2, 3], prompt_length=1), "out", ""),
        KEYS.key(tokens([1, 2, 3]), "other", ""),
        KEYS.key(tokens([1, 2, 3]), "out", "query"),
        KEYS.key(tokens([1, 2, 3]), "ou", "t"),
    ]
    assert len(set(every)) == len(every)
    assert {len(key) for key in every} == {KEY_BYTES}
    assert KEYS.key(tokens([1, 2, 3]), "out", "") == every[0]


def test_another_instance_makes_other_keys() -> None:
    assert RowKeys().key(tokens([1]), "out", "") != KEYS.key(tokens([1]), "out", "")


IDS = st.lists(st.integers(0, 2**31), min_size=1, max_size=4)


INPUTS = st.tuples(IDS, st.integers(0, 12), st.booleans())


@given(INPUTS, INPUTS)
def test_inputs_that_differ_have_keys_that_do(
    first: tuple[list[int], int, bool], second: tuple[list[int], int, bool]
) -> None:
    one, other = (
        tokens(ids, ids if typed else None, length) for ids, length, typed in (first, second)
    )
    are_equal = first == second
    assert (KEYS.key(one, "out", "") == KEYS.key(other, "out", "")) == are_equal


def test_a_slice_of_an_array_is_what_it_holds() -> None:
    ids = np.arange(10, dtype=np.int64)
    assert KEYS.key(TokenizedInput(ids[3:6]), "out", "") == KEYS.key(tokens([3, 4, 5]), "out", "")
