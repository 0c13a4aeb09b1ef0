"""The row store: rows come back unchanged, and never take more than the limit of bytes."""

import random
from hashlib import blake2b

import numpy as np
import pytest
from numpy.typing import NDArray

from app.inference.reuse.row_store import ENTRY_BYTES, KEY_BYTES, PAGE_BYTES, RowStore

WIDTH = 384


def key(number: int) -> bytes:
    return blake2b(number.to_bytes(8), digest_size=KEY_BYTES).digest()


def row(number: int, width: int = WIDTH) -> NDArray[np.float32]:
    return np.random.default_rng(number).normal(size=width).astype(np.float32)


def page_rows(width: int = WIDTH) -> int:
    return PAGE_BYTES // (4 * width + ENTRY_BYTES)


def test_a_row_comes_back_as_it_was_and_the_first_one_stays() -> None:
    store = RowStore(1_000_000)
    assert store.get(key(1)) is None
    store.put(key(1), row(1))
    store.put(key(1), row(2))
    found = store.get(key(1))
    assert found is not None
    assert found.tobytes() == row(1).tobytes()
    found[:] = 0  # it is a copy
    again = store.get(key(1))
    assert again is not None
    assert again.tobytes() == row(1).tobytes()
    assert (store.rows, store.evictions) == (1, 0)


@pytest.mark.parametrize("widths", [[WIDTH], [1], [1, 16, WIDTH, 30_522]])
def test_it_never_takes_more_than_its_bytes(widths: list[int]) -> None:
    store = RowStore(10 * PAGE_BYTES)
    kept = {}
    for number in range(1_000):
        kept[number] = row(number, random.Random(number).choice(widths))
        store.put(key(number), kept[number])
        assert store.bytes <= store.limit
    found = {number: one for number in kept if (one := store.get(key(number))) is not None}
    assert len(found) == store.rows
    assert store.rows + store.evictions == 1_000
    for number, one in found.items():
        assert one.tobytes() == kept[number].tobytes()
    assert len(found) >= min(1_000, 5 * page_rows(max(widths)))


def test_a_row_that_is_larger_than_all_of_it_is_not_kept() -> None:
    store = RowStore(4 * WIDTH + ENTRY_BYTES - 1)
    store.put(key(1), row(1))
    assert (store.get(key(1)), store.rows, store.bytes) == (None, 0, 0)
    store = RowStore(4 * WIDTH + ENTRY_BYTES)
    for number in range(3):
        store.put(key(number), row(number))
        assert store.get(key(number)) is not None
    assert (store.rows, store.evictions) == (1, 2)


def test_reused_rows_outlive_others() -> None:
    store = RowStore(4 * PAGE_BYTES)
    often = range(page_rows() // 4)
    for number in often:
        store.put(key(number), row(number))
    for number in range(1_000, 1_000 + 20 * page_rows()):
        store.put(key(number), row(number))
        for one in often:
            found = store.get(key(one))
            assert found is not None
            assert found.tobytes() == row(one).tobytes()
    assert store.evictions > 15 * page_rows()


def test_a_new_row_finds_a_place_where_every_other_one_was_asked_for() -> None:
    store = RowStore(3 * PAGE_BYTES)
    for number in range(10 * page_rows()):
        store.put(key(number), row(number))
        for one in range(number + 1):
            store.get(key(one))
        assert store.get(key(number)) is not None


def test_rows_of_one_width_make_room_for_those_of_another() -> None:
    store = RowStore(4 * PAGE_BYTES)
    for number in range(4 * page_rows()):
        store.put(key(number), row(number))
    for number in range(10_000, 10_000 + 4 * page_rows(16)):
        store.put(key(number), row(number, 16))
    assert all(store.get(key(number)) is None for number in range(4 * page_rows()))
    assert store.get(key(10_000)) is not None
