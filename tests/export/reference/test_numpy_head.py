"""NumPy head: the same arithmetic as PyTorch's, which the export from original weights uses."""

from pathlib import Path

import numpy as np
import pytest
import torch

from export.config.layers import (
    ACTIVATIONS,
    POOLING_MODES,
    Dense,
    Head,
    Layer,
    LayerNorm,
    Normalize,
    Weights,
)
from export.reference import numpy_head, torch_head

WIDTH = 6
random = np.random.default_rng(3)
TOKENS = random.normal(size=(5, WIDTH)).astype(np.float32)


def weighted(*layers: Layer) -> Weights:
    return {
        layer: {
            name: random.normal(size=[int(size or 1) for size in shape]).astype(np.float32)
            for name, shape in layer.shapes.items()
        }
        for layer in layers
    }


@pytest.mark.parametrize(
    "head",
    [
        *(Head((mode,)) for mode in POOLING_MODES),
        Head(("mean", "cls", "max"), cut=7),
        *(Head(("mean",), (Dense(Path(), WIDTH, 4, activation=one),)) for one in ACTIVATIONS),
        Head(("cls",), (Dense(Path(), WIDTH, WIDTH, bias=False, residual=True),)),
        Head(("cls",), (Dense(Path(), WIDTH, 9, residual=True), LayerNorm(Path(), 9), Normalize())),
    ],
    ids=str,
)
@pytest.mark.parametrize("before", [0, 2])
def test_it_is_torch_s(head: Head, before: int) -> None:
    weights = weighted(*head.layers)
    expected = torch_head.vector(head, weights, torch.from_numpy(TOKENS), before)
    found = numpy_head.vector(head, weights, TOKENS[before:], before)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected.numpy(), atol=2e-6)
