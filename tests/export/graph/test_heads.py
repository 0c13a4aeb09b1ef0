"""Heads: what a model makes of its token embeddings, if anything."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from app.model.names import (
    LOGITS,
    SENTENCE_EMBEDDING,
    TOKEN_EMBEDDINGS,
    PoolingMode,
)
from export.config.layers import Head
from export.graph import heads
from tests.support.encoders import LENGTHS, TABLE, encoder, pad, run

OTHERS: dict[PoolingMode, Callable[[NDArray[np.float32]], NDArray[np.float32]]] = {
    "max": lambda row: row.max(axis=0),
    "mean_sqrt_len_tokens": lambda row: row.sum(axis=0) / np.sqrt(np.float32(len(row))),
    "weightedmean": lambda row: np.average(row, axis=0, weights=range(1, len(row) + 1)),
}


@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS.keys())
@pytest.mark.parametrize("side", ["left", "right"])
def test_other_poolings_are_concatenated_in_order(
    tmp_path: Path, side: str, lengths: list[int]
) -> None:
    heads.graft(encoder(tmp_path), tmp_path, Head(tuple(OTHERS)))
    ids, mask = pad(lengths, side)
    outputs = run(tmp_path, ids, mask)
    assert list(outputs) == [TOKEN_EMBEDDINGS, SENTENCE_EMBEDDING]  # no pooling to override
    rows = [TABLE[ids[i][mask[i] == 1]] for i in range(len(lengths))]
    expected = [np.concatenate([pool(row) for pool in OTHERS.values()]) for row in rows]
    np.testing.assert_allclose(outputs[SENTENCE_EMBEDDING], expected, rtol=0, atol=1e-6)


def test_logits_of_a_classifier_are_left_as_they_are(tmp_path: Path) -> None:
    source = encoder(tmp_path, output="logits")
    assert heads.finish(source, tmp_path, "classifier", None)[1] == (LOGITS,)
    ids, mask = pad([3, 2], "right")
    [actual] = run(tmp_path, ids, mask).values()
    assert np.array_equal(actual, TABLE[ids])
