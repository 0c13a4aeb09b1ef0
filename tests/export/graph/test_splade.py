"""SPLADE's pooling of logits: equal to the library's."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sentence_transformers.sparse_encoder import modules as sparse_modules

from app.model.names import (
    SPARSE_EMBEDDING,
)
from export.config import splade
from export.config.splade import Splade
from export.graph import heads
from tests.support.encoders import LENGTHS, TABLE, encoder, pad, run


@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS.keys())
@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("strategy", splade.STRATEGIES)
@pytest.mark.parametrize("activation", splade.ACTIVATIONS)
@pytest.mark.parametrize("normalize", [False, True])
def test_sparse_is_what_splade_pooling_makes_of_the_real_tokens(
    tmp_path: Path, lengths: list[int], side: str, strategy: Any, activation: Any, normalize: bool
) -> None:
    head = Splade(strategy, activation, normalize)
    names = heads.finish(encoder(tmp_path, output="logits"), tmp_path, "splade", head)
    assert names == (("input_ids", "attention_mask"), (SPARSE_EMBEDDING,))
    ids, mask = pad(lengths, side)
    [actual] = run(tmp_path, ids, mask).values()
    expected = [library_s(head, TABLE[row[real == 1]]) for row, real in zip(ids, mask, strict=True)]
    np.testing.assert_allclose(actual, expected, atol=1e-6)
    alone = [
        splade.vector(TABLE[row[real == 1]], head) for row, real in zip(ids, mask, strict=True)
    ]
    np.testing.assert_allclose(alone, expected, atol=1e-6)


def library_s(head: Splade, logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """sentence-transformers' pooling of the logits of one text, two tokens at a time."""
    library: Any = sparse_modules
    pooling = library.SpladePooling(head.strategy, head.activation, chunk_size=2).eval()
    features = {
        "token_embeddings": torch.from_numpy(logits)[None],
        "attention_mask": torch.ones((1, len(logits)), dtype=torch.int64),
    }
    found = pooling(features)["sentence_embedding"][0]
    vector: NDArray[np.float32] = (
        torch.nn.functional.normalize(found, dim=0) if head.normalize else found
    ).numpy()
    return vector
