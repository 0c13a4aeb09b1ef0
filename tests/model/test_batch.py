from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.model.batch import (
    RUN_COST,
    BatchLimits,
    TokenizedInput,
    blank,
    choose,
    collate,
    in_order,
    ladder,
    largest,
    uneven,
)
from app.model.names import Side
from app.model.parts import Padding


def tokens(*ids: int) -> TokenizedInput:
    return TokenizedInput(np.array(ids, np.int64))


def test_padding_on_the_right() -> None:
    batch = collate([tokens(5, 6, 7), tokens(8)], Padding(id=1, type_id=0, side="right"))
    assert batch.input_ids.tolist() == [[5, 6, 7], [8, 1, 1]]
    assert batch.attention_mask.tolist() == [[1, 1, 1], [1, 0, 0]]
    assert batch.token_type_ids.tolist() == [[0, 0, 0], [0, 0, 0]]
    assert batch.input_ids.dtype == np.int64


def test_padding_on_the_left_with_types() -> None:
    pair = TokenizedInput(np.array([5, 6]), np.array([0, 1]))
    batch = collate([pair, tokens(7, 8, 9)], Padding(id=0, type_id=3, side="left"))
    assert batch.input_ids.tolist() == [[0, 5, 6], [7, 8, 9]]
    assert batch.attention_mask.tolist() == [[0, 1, 1], [1, 1, 1]]
    assert batch.token_type_ids.tolist() == [[3, 0, 1], [0, 0, 0]]


def test_a_batch_may_be_longer_than_its_longest_row() -> None:
    batch = collate([tokens(5, 6)], Padding(id=1, type_id=0, side="left"), length=4)
    assert batch.input_ids.tolist() == [[1, 1, 5, 6]]
    assert batch.attention_mask.tolist() == [[0, 0, 1, 1]]


def test_a_blank_batch_has_the_shape_asked_for() -> None:
    batch = blank(2, 3, Padding(id=1, type_id=0, side="right"))
    assert batch.attention_mask.tolist() == [[1, 1, 1], [1, 1, 1]]


def test_an_uneven_batch_has_a_padded_row_if_another_is_not() -> None:
    padding = Padding(id=1, type_id=0, side="right")
    assert uneven(2, 3, padding).attention_mask.tolist() == [[1, 1, 0], [1, 1, 1]]
    assert uneven(1, 3, padding).attention_mask.tolist() == [[1, 1, 1]]
    assert uneven(2, 1, padding).attention_mask.tolist() == [[1], [1]]


@pytest.mark.parametrize(
    ("limits", "longest", "expected"),
    [
        (BatchLimits(2048), 256, [(8, 256)]),
        (BatchLimits(2048), 1024, [(2, 1024)]),
        (BatchLimits(2048), 1100, [(1, 1100), (2, 1024)]),
        (BatchLimits(2048), 8192, [(1, 8192), (2, 1024)]),
        (BatchLimits(2048, max_rows=1), 8192, [(1, 8192)]),
        (BatchLimits(2048, lengths=ladder(8192), row_counts=(1, 2)), 8192, [(1, 8192)]),
        (BatchLimits(2), 8, [(1, 8)]),
    ],
)
def test_the_largest_batches_are_long_and_one_of_them_may_be_padded(
    limits: BatchLimits, longest: int, expected: list[tuple[int, int]]
) -> None:
    assert largest(limits, longest) == expected


def test_an_empty_batch_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="empty"):
        collate([], Padding(0, 0, "right"))


@pytest.mark.parametrize(
    ("side", "expected"),
    [("right", [[0, 0, 1, 1], [1, 1, 0, 0]]), ("left", [[0, 0, 1, 1], [0, 0, 1, 1]])],
)
def test_tokens_of_a_prompt_are_attended_to_and_not_pooled(
    side: Side, expected: list[list[int]]
) -> None:
    rows = [replace(tokens(5, 6, 7, 8), prompt_length=2), tokens(9, 10)]
    batch = collate(rows, Padding(0, 0, side))
    assert (batch.pooling_mask.tolist(), batch.attention_mask.sum()) == (expected, 6)
    kinds = {k: v.dtype for k, v in batch.feed(("input_ids", "pooling_mask"), "int32").items()}
    assert kinds == {"input_ids": np.int32, "pooling_mask": np.int32}
    plain = collate(rows[1:], Padding(0, 0, side))
    assert plain.pooling_mask is plain.attention_mask


@pytest.mark.parametrize(
    ("lengths", "anchor", "limits", "chosen"),
    [
        ([5], 0, BatchLimits(100), [5]),
        ([500], 0, BatchLimits(100), [500]),  # one row always fits
        ([5, 6, 7], 0, BatchLimits(100), [5, 6, 7]),
        ([5, 6, 7], 1, BatchLimits(14), [5, 6]),  # equally near: the shorter one; 3 x 7 > 14
        ([5, 8, 9], 1, BatchLimits(20), [8, 9]),  # the nearer one
        ([20, 20, 20, 22], 0, BatchLimits(80), [20, 20, 20]),
        ([20, 20, 20, 22], 3, BatchLimits(1000), [20, 20, 20, 22]),
        ([8, 16, 24, 32], 1, BatchLimits(1000), [8, 16]),  # 8 tokens of padding, not 24 or 48
        ([8, 16, 24, 32], 1, BatchLimits(1000, run_cost=500), [8, 16, 24, 32]),
        ([5, 6, 7], 2, BatchLimits(100, max_rows=2), [6, 7]),
        ([5, 300, 301], 1, BatchLimits(10_000), [300, 301]),  # 5 beside 301 would be padding
        ([5, 300, 301], 0, BatchLimits(10_000), [5]),
        ([4, 4, 4, 4], 2, BatchLimits(12), [4, 4, 4]),
    ],
)
def test_which_rows_share_a_run(
    lengths: list[int], anchor: int, limits: BatchLimits, chosen: list[int]
) -> None:
    assert lengths[choose(lengths, anchor, limits)] == chosen


def padding(rows: Sequence[int]) -> int:
    return len(rows) * rows[-1] - sum(rows)


@given(
    lengths=st.lists(st.integers(1, 60), min_size=1, max_size=12).map(sorted),
    run_cost=st.integers(0, 200),
    data=st.data(),
)
def test_no_more_and_no_fewer_of_the_chosen_rows_would_waste_less(
    lengths: Sequence[int], run_cost: int, data: st.DataObject
) -> None:
    anchor = data.draw(st.integers(0, len(lengths) - 1))
    chosen = choose(lengths, anchor, BatchLimits(10_000, run_cost=run_cost))

    def waste(first: int, stop: int) -> float:
        rows = lengths[first:stop]
        return (run_cost + padding(rows)) / len(rows)

    least = waste(chosen.start, chosen.stop)
    assert all(
        least <= waste(first, stop) + 1e-9
        for first, stop in (
            (anchor, anchor + 1),
            (max(chosen.start - 1, 0), chosen.stop),
            (chosen.start, min(chosen.stop + 1, len(lengths))),
        )
    )


@given(
    lengths=st.lists(st.integers(1, 512), min_size=1, max_size=60).map(sorted),
    max_tokens=st.integers(1, 4096),
    max_rows=st.none() | st.integers(1, 20),
    data=st.data(),
)
def test_a_run_keeps_every_limit(
    lengths: Sequence[int], max_tokens: int, max_rows: int | None, data: st.DataObject
) -> None:
    anchor = data.draw(st.integers(0, len(lengths) - 1))
    chosen = choose(lengths, anchor, BatchLimits(max_tokens, max_rows))
    assert chosen.start <= anchor < chosen.stop
    rows = lengths[chosen]
    if len(rows) > 1:
        assert rows[-1] * len(rows) <= max_tokens
        assert padding(rows) <= RUN_COST * (len(rows) - 1)  # less than the cost of separate runs
        assert max_rows is None or len(rows) <= max_rows


FEW = BatchLimits(1024, lengths=ladder(512), row_counts=(1, 2, 4, 8, 16))


@pytest.mark.parametrize(
    ("longest", "steps"),
    [
        (5, [5]),
        (8, [8]),
        (12, [8, 12]),
        (100, [8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 100]),
    ],
)
def test_the_ladder_ends_at_the_longest_input(longest: int, steps: list[int]) -> None:
    assert list(ladder(longest)) == steps


def test_the_ladder_is_short_and_pads_little() -> None:
    assert len(ladder(512)) == 20
    waste = [FEW.padded(length) / length - 1 for length in range(32, 513)]
    assert max(waste) < 0.25
    assert sum(waste) / len(waste) < 0.1


@pytest.mark.parametrize(
    ("lengths", "anchor", "chosen"),
    [
        ([7] * 3, 0, [0, 1]),
        ([7] * 3, 2, [1, 2]),
        ([7] * 40, 20, list(range(5, 21))),
        ([100] * 40, 0, list(range(8))),  # 16 × 112 tokens are too many
        ([600], 0, [0]),
        ([60, 61, 62, 63], 1, [0, 1, 2, 3]),
        ([60, 61, 62], 2, [1, 2]),
    ],
)
def test_rows_are_counted_in_powers_of_two(
    lengths: list[int], anchor: int, chosen: list[int]
) -> None:
    assert list(range(len(lengths)))[choose(lengths, anchor, FEW)] == chosen


def test_a_row_that_exceeds_a_run_is_no_shape_to_prepare_for() -> None:
    long = replace(FEW, lengths=ladder(8192))
    assert max(length for _, length in long.shapes()) == 1024
    assert long.fits(1, 8192)


def test_fewer_rows_a_batch_leave_fewer_shapes() -> None:
    few = replace(FEW, max_rows=3)
    assert {rows for rows, _ in few.shapes()} == {1, 2}
    assert choose([7] * 9, 4, few) == slice(3, 5)


@given(
    lengths=st.lists(st.integers(1, 512), min_size=1, max_size=60).map(sorted),
    max_rows=st.none() | st.integers(1, 20),
    data=st.data(),
)
def test_only_known_shapes_occur(
    lengths: Sequence[int], max_rows: int | None, data: st.DataObject
) -> None:
    limits = replace(FEW, max_rows=max_rows)
    anchor = data.draw(st.integers(0, len(lengths) - 1))
    chosen = choose(lengths, anchor, limits)
    assert chosen.start <= anchor < chosen.stop
    rows = lengths[chosen]
    assert (len(rows), limits.padded(rows[-1])) in limits.shapes()


@given(
    longest=st.integers(1, 600),
    max_tokens=st.integers(1, 4096),
    max_rows=st.none() | st.integers(1, 20),
    lengths=st.lists(st.integers(1, 700), min_size=2, max_size=20).map(sorted),
)
def test_steps_of_length_and_rows_lose_nothing(
    longest: int, max_tokens: int, max_rows: int | None, lengths: list[int]
) -> None:
    limits = BatchLimits(max_tokens, max_rows, ladder(longest), (1, 2, 4, 8, 16))
    padded = [limits.padded(length) for length in lengths]
    assert padded == sorted(padded)
    for length, to in zip(lengths, padded, strict=True):
        assert length <= to <= max(longest, length)
        assert limits.padded(to) == to
        assert 1 <= limits.rows(length) <= length
        assert limits.rows(limits.rows(length)) == limits.rows(length)
    shapes = limits.shapes()
    assert len(set(shapes)) == len(shapes)
    for rows, length in shapes:
        assert limits.fits(rows, length)
        assert rows * length <= max_tokens
        assert limits.rows(rows) == rows


@given(
    inputs=st.lists(st.lists(st.integers(0, 99), min_size=1, max_size=9), min_size=1, max_size=9),
    side=st.sampled_from(["left", "right"]),
    length=st.none() | st.integers(1, 20),
)
def test_without_padding_a_batch_is_its_inputs(
    inputs: list[list[int]], side: Literal["left", "right"], length: int | None
) -> None:
    batch = collate([tokens(*ids) for ids in inputs], Padding(7, 3, side), length)
    assert batch.input_ids.shape[1] == max(length or 0, *map(len, inputs))
    for row, ids in enumerate(inputs):
        real = batch.attention_mask[row] == 1
        assert batch.input_ids[row, real].tolist() == ids
        assert set(batch.input_ids[row, ~real]) <= {7}
        assert set(batch.token_type_ids[row, ~real]) <= {3}
        assert real[-1 if side == "left" else 0]


@given(
    lengths=st.lists(st.integers(1, 512), max_size=60),
    limits=st.sampled_from([FEW, BatchLimits(2048, 16)]),
)
def test_rows_in_order_lose_none_and_keep_the_limits(
    lengths: list[int], limits: BatchLimits
) -> None:
    slices = list(in_order(lengths, limits))
    assert [one for part in slices for one in lengths[part]] == lengths
    for part in slices:
        rows = lengths[part]
        assert limits.fits(len(rows), max(rows))
        assert limits.rows(len(rows)) == len(rows)
