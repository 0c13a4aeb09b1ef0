"""Poolings: each against NumPy, and the tokens that none of them pools."""

from pathlib import Path
from typing import get_args

import numpy as np
import onnxruntime
import pytest
from numpy.typing import NDArray

from app.model.manifest import GRAPH_FILE
from app.model.names import (
    POOLED_OUTPUTS,
    SENTENCE_EMBEDDING,
    TOKEN_EMBEDDINGS,
    Pooling,
    PoolingMode,
)
from export.config.layers import Head
from export.graph import heads
from export.graph.poolings import pooled
from tests.support.encoders import LENGTHS, TABLE, encoder, pad, run

NAMES = list(POOLED_OUTPUTS)


def pool_reference(row: NDArray[np.float32], mode: Pooling) -> NDArray[np.float32]:
    rows: dict[Pooling, NDArray[np.float32]] = {
        "cls": row[0],
        "mean": row.mean(axis=0),
        "last_token": row[-1],
    }
    return rows[mode]


@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS.keys())
@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("mode", NAMES)
def test_pooled_output_equals_numpy(
    tmp_path: Path, mode: Pooling, side: str, lengths: list[int]
) -> None:
    heads.graft(encoder(tmp_path), tmp_path, Head((mode,)))
    ids, mask = pad(lengths, side)
    outputs = run(tmp_path, ids, mask)
    rows = [TABLE[ids[i][mask[i] == 1]] for i in range(len(lengths))]
    for name, output in POOLED_OUTPUTS.items():
        expected = np.stack([pool_reference(row, name) for row in rows])
        np.testing.assert_allclose(outputs[output], expected, rtol=0, atol=2e-7)
        assert outputs[output].dtype == np.float32
    np.testing.assert_array_equal(outputs[SENTENCE_EMBEDDING], outputs[POOLED_OUTPUTS[mode]])
    np.testing.assert_array_equal(outputs[TOKEN_EMBEDDINGS], TABLE[ids])


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("mode", get_args(PoolingMode))
def test_tokens_that_are_not_pooled_do_not_count(
    tmp_path: Path, mode: PoolingMode, side: str
) -> None:
    names = heads.graft(encoder(tmp_path), tmp_path, Head((mode,), include_prompt=False))
    assert names[0] == ("input_ids", "attention_mask", "pooling_mask")
    ids, mask = pad([5, 3, 2], side)
    prompts = [2, 0, 1]
    of_text = mask.copy()
    for row, count in enumerate(prompts):
        of_text[row, np.flatnonzero(mask[row])[:count]] = 0
    session = onnxruntime.InferenceSession(tmp_path / GRAPH_FILE)
    feed = {"input_ids": ids, "attention_mask": mask, "pooling_mask": of_text}
    [found] = session.run([SENTENCE_EMBEDDING], feed)
    expected = [
        pooled(mode, TABLE[ids[i][mask[i] == 1]][count:], count) for i, count in enumerate(prompts)
    ]
    np.testing.assert_allclose(found, np.stack(expected), rtol=0, atol=1e-6)


def test_cls_and_last_token_are_picked_exactly(tmp_path: Path) -> None:
    heads.graft(encoder(tmp_path), tmp_path, Head(("cls",)))
    ids, mask = pad([5, 2], "right")
    outputs = run(tmp_path, ids, mask)
    np.testing.assert_array_equal(outputs["pooled_cls"], TABLE[ids[:, 0]])
    np.testing.assert_array_equal(outputs["pooled_last_token"], TABLE[[ids[0, 4], ids[1, 1]]])


def test_row_without_tokens_is_zero_and_not_nan(tmp_path: Path) -> None:
    heads.graft(encoder(tmp_path), tmp_path, Head(("mean",)))
    ids, mask = pad([3, 2], "right")
    mask[1] = 0
    outputs = run(tmp_path, ids, mask)
    for name in POOLED_OUTPUTS.values():
        np.testing.assert_array_equal(outputs[name][1], np.zeros(TABLE.shape[1]))
