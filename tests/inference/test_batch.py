from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.inference.batch import BatchLimits, TokenizedInput, allowed_padding, choose, collate
from app.inference.manifest import Padding


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


def test_an_empty_batch_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="empty"):
        collate([], Padding(0, 0, "right"))


@pytest.mark.parametrize(
    ("lengths", "anchor", "limits", "chosen"),
    [
        ([5], 0, BatchLimits(100), [5]),
        ([500], 0, BatchLimits(100), [500]),  # one row always fits
        ([5, 6, 7], 0, BatchLimits(100), [5, 6, 7]),
        ([5, 6, 7], 1, BatchLimits(14), [5, 6]),  # equally near: the shorter one; 3 x 7 > 14
        ([5, 8, 9], 1, BatchLimits(20), [8, 9]),  # the nearer one
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
        assert rows[-1] - rows[0] <= allowed_padding(rows[-1])
        assert max_rows is None or len(rows) <= max_rows
