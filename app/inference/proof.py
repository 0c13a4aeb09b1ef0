"""Proof: the probes that an export stores, and how closely a session reproduces them.

The probes are texts with the original model's token ids and pooled float32 vectors. Replaying
them through the serving session shows that graph, padding, provider and precision are right
where the model is really served. Needs NumPy only.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Protocol, Self
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from app.inference.batch import Batch, TokenizedInput, collate
from app.inference.manifest import SENTENCE_EMBEDDING, Dtype, Padding

BATCH_ROWS = 16

# The worst cosine to the reference that each precision may show over the probes.
WORST_COSINE: Mapping[Dtype, float] = MappingProxyType({"float32": 0.99999})


class ProbesError(Exception):
    """The stored probes cannot be read."""


class Runs(Protocol):
    """What a proof needs of a session."""

    def run(self, batch: Batch, outputs: Sequence[str]) -> dict[str, NDArray[np.float32]]: ...


@dataclass(frozen=True, slots=True, eq=False)
class Probes:
    """P texts with the reference's token ids and its pooled vectors before normalization."""

    texts: tuple[str, ...]
    inputs: tuple[TokenizedInput, ...]
    vectors: NDArray[np.float32]  # (P, D)

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, count: int) -> Self:
        """At most `count` probes, spread evenly over all of them."""
        chosen = np.unique(np.linspace(0, len(self) - 1, min(count, len(self))).astype(int))
        return type(self)(
            tuple(self.texts[i] for i in chosen),
            tuple(self.inputs[i] for i in chosen),
            self.vectors[chosen],
        )

    def write(self, path: Path) -> None:
        """Store the probes as an uncompressed `.npz` of plain arrays."""
        np.savez(
            path,
            texts=np.frombuffer(json.dumps(self.texts).encode(), np.uint8),
            lengths=np.array([len(tokens) for tokens in self.inputs], np.int64),
            input_ids=np.concatenate([tokens.input_ids for tokens in self.inputs]),
            vectors=self.vectors,
        )

    @classmethod
    def read(cls, path: Path) -> Self:
        """Load what `write` stored.

        Raises: ProbesError naming the file, for anything that is not such a store.
        """
        try:
            with path.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
                texts = tuple(json.loads(stored["texts"].tobytes()))
                ends = np.cumsum(stored["lengths"])
                parts = np.split(stored["input_ids"], ends[:-1])
                vectors = np.ascontiguousarray(stored["vectors"], np.float32)
        except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
            raise ProbesError(f"{path} cannot be read: {error}") from None
        if not len(texts) == len(parts) == len(vectors):
            raise ProbesError(f"{path} holds {len(texts)} texts and {len(vectors)} vectors")
        return cls(texts, tuple(map(TokenizedInput, parts)), vectors)


@dataclass(frozen=True, slots=True)
class Agreement:
    """How closely computed vectors match the reference, over all pairs."""

    worst_cosine: float
    mean_cosine: float
    largest_error: float  # of any component of the unit vectors


def compare(reference: NDArray[np.float32], actual: NDArray[np.float32]) -> Agreement:
    """Agreement of two (P, D) arrays, row by row, computed in float64."""
    left, right = _unit(reference), _unit(actual)
    cosines = np.einsum("pd,pd->p", left, right)
    return Agreement(
        worst_cosine=float(np.nan_to_num(cosines, nan=-1.0).min()),
        mean_cosine=float(cosines.mean()),
        largest_error=float(np.abs(left - right).max()),
    )


def replay(
    session: Runs, probes: Probes, padding: Padding, output: str = SENTENCE_EMBEDDING
) -> Agreement:
    """Run every probe alone, and again in batches of mixed lengths, against the reference."""
    actual = [
        session.run(collate(batch, padding), (output,))[output] for batch in _rounds(probes.inputs)
    ]
    return compare(np.tile(probes.vectors, (2, 1)), np.concatenate(actual))


def _rounds(inputs: Sequence[TokenizedInput]) -> Iterator[Sequence[TokenizedInput]]:
    for tokens in inputs:
        yield (tokens,)
    for start in range(0, len(inputs), BATCH_ROWS):
        yield inputs[start : start + BATCH_ROWS]


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    wide = vectors.astype(np.float64)
    unit: NDArray[np.float64] = wide / np.linalg.norm(wide, axis=1, keepdims=True)
    return unit
