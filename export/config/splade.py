"""SPLADE: how the logits of a masked language model become one sparse vector.

The rules are those of sentence-transformers' SpladePooling; its `chunk_size` only bounds memory,
and its `embedding_dimension` is what it finds in the logits.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from export.config.documents import Document
from export.errors import ExportError

STRATEGIES = ("max", "sum")
ACTIVATIONS = ("relu", "log1p_relu")


@dataclass(frozen=True, slots=True)
class Splade:
    """A SpladePooling, and whether a Normalize follows it."""

    strategy: str = "max"  # one of STRATEGIES
    activation: str = "relu"  # one of ACTIVATIONS
    normalize: bool = False

    @property
    def logarithms(self) -> int:
        """The number of times that ln(1 + x) is applied to a positive logit."""
        return 2 if self.activation == "log1p_relu" else 1

    @property
    def facts(self) -> list[str]:
        """The definition for the fingerprint; nothing for the usual one."""
        found = [self.strategy, self.activation, *(["Normalize"] if self.normalize else [])]
        return [] if self == USUAL else found


USUAL = Splade()


def read(folder: Path, *, normalize: bool = False) -> Splade:
    """Read the SpladePooling that `config.json` in `folder` describes; the usual if there is none.

    Raises: ExportError naming the key that cannot be understood.
    """
    path = folder / "config.json"
    config = Document.read(path)
    strategy = config.value("pooling_strategy", str) or USUAL.strategy
    activation = config.value("activation_function", str) or USUAL.activation
    if strategy not in STRATEGIES:
        raise ExportError(f"{path}: pooling_strategy {strategy} is not {' or '.join(STRATEGIES)}")
    if activation not in ACTIVATIONS:
        raise ExportError(
            f"{path}: activation_function {activation} is not {' or '.join(ACTIVATIONS)}"
        )
    return Splade(strategy, activation, normalize)


def vector(logits: NDArray[np.float32], splade: Splade) -> NDArray[np.float32]:
    """Return the sparse vector (V,) for the logits (S, V) of one text without padding."""
    values = np.maximum(logits, 0)
    for _ in range(splade.logarithms):
        values = np.log1p(values)
    pooled: NDArray[np.float32] = values.max(axis=0) if splade.strategy == "max" else values.sum(0)
    if not splade.normalize:
        return pooled
    unit: NDArray[np.float32] = pooled / np.maximum(np.linalg.norm(pooled), np.float32(1e-12))
    return unit
