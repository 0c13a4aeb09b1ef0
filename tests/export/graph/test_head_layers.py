"""Layers behind the pooling: equal to torch."""

from pathlib import Path

import numpy as np
import pytest
import torch

from app.model.names import (
    SENTENCE_EMBEDDING,
)
from export.config.layers import ACTIVATIONS, Activation, Dense, Head, LayerNorm, Normalize, Weights
from export.graph import heads
from tests.support.encoders import TABLE, encoder, pad, run


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_layers_equal_torch(tmp_path: Path, activation: Activation) -> None:
    from torch import nn

    torch.manual_seed(1)
    linear, norm = nn.Linear(8, 5), nn.LayerNorm(5)
    nn.init.normal_(norm.weight)
    dense = Dense(tmp_path / "dense", 8, 5, activation=activation)
    middle, scale = Normalize(), LayerNorm(tmp_path / "norm", 5)
    weights: Weights = {
        dense: {f"linear.{name}": one.detach().numpy() for name, one in linear.named_parameters()},
        middle: {},
        scale: {f"norm.{name}": one.detach().numpy() for name, one in norm.named_parameters()},
    }
    heads.graft(encoder(tmp_path), tmp_path, Head(("cls",), (dense, middle, scale), 3), weights)
    ids, mask = pad([3, 2], "right")
    found = run(tmp_path, ids, mask)[SENTENCE_EMBEDDING]
    with torch.inference_mode():
        active = getattr(nn, activation)()
        value = active(linear(torch.from_numpy(TABLE[ids[:, 0]])))
        expected = norm(nn.functional.normalize(value, dim=1))[:, :3].numpy()
    assert found.shape == (2, 3)
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6)
