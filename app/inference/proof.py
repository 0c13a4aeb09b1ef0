"""Proof: the probes that an export stores, and how closely a session reproduces them.

The probes are texts and pairs of texts, with the original model's token ids and its float32
answers: pooled vectors, sparse vectors or logits. Replaying them through the serving session shows
that graph, padding, provider and precision are right where the model is really served. Needs
NumPy only.
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
from app.inference.manifest import LOGITS, SENTENCE_EMBEDDING, TASK_OUTPUTS, Dtype, Padding, Task

BATCH_ROWS = 16

# What each precision may show over the probes: of vectors the worst cosine to the reference; of
# logits, which scores are made from one by one, the largest error.
WORST_COSINE: Mapping[Dtype, float] = MappingProxyType({"float32": 0.99999})
LARGEST_LOGIT_ERROR: Mapping[Dtype, float] = MappingProxyType({"float32": 1e-4})

ProbeText = str | tuple[str, str]


class ProbesError(Exception):
    """The stored probes cannot be read."""


class Runs(Protocol):
    """What a proof needs of a session."""

    def run(self, batch: Batch, outputs: Sequence[str]) -> dict[str, NDArray[np.float32]]: ...


@dataclass(frozen=True, slots=True, eq=False)
class Probes:
    """P texts or pairs with the reference's token ids and what it yields, before normalization."""

    texts: tuple[ProbeText, ...]
    inputs: tuple[TokenizedInput, ...]
    vectors: NDArray[np.float32]  # (P, D), (P, V) of sparse vectors or (P, L) of logits

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
        """Store the probes as an `.npz` of plain arrays, compressed where most values are 0."""
        sparse = 2 * np.count_nonzero(self.vectors) < self.vectors.size
        save = np.savez_compressed if sparse else np.savez
        save(
            path,
            texts=np.frombuffer(json.dumps(self.texts).encode(), np.uint8),
            lengths=np.array([len(tokens) for tokens in self.inputs], np.int64),
            input_ids=np.concatenate([tokens.input_ids for tokens in self.inputs]),
            token_type_ids=np.concatenate([type_ids(tokens) for tokens in self.inputs]),
            vectors=self.vectors,
        )

    @classmethod
    def read(cls, path: Path) -> Self:
        """Load what `write` stored.

        Raises: ProbesError naming the file, for anything that is not such a store.
        """
        try:
            with path.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
                texts = tuple(map(_text, json.loads(stored["texts"].tobytes())))
                inputs = tuple(_inputs(stored))
                vectors = np.ascontiguousarray(stored["vectors"], np.float32)
        except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
            raise ProbesError(f"{path} cannot be read: {error}") from None
        if not len(texts) == len(inputs) == len(vectors):
            raise ProbesError(f"{path} holds {len(texts)} texts and {len(vectors)} vectors")
        return cls(texts, inputs, vectors)


def _text(stored: str | list[str]) -> ProbeText:
    if isinstance(stored, str):
        return stored
    first, second = stored  # JSON has no tuples
    return first, second


def type_ids(tokens: TokenizedInput) -> NDArray[np.int64]:
    """The token types of an input, (S,): 0 unless it says otherwise."""
    if tokens.token_type_ids is None:
        return np.zeros(len(tokens), np.int64)
    return tokens.token_type_ids


def _inputs(stored: Mapping[str, NDArray[np.int64]]) -> Iterator[TokenizedInput]:
    ends = np.cumsum(stored["lengths"])[:-1]
    ids = np.split(stored["input_ids"], ends)
    types: list[NDArray[np.int64]] | None = None
    if "token_type_ids" in stored:  # folders exported before there were pairs hold none
        types = np.split(stored["token_type_ids"], ends)
    for i, one in enumerate(ids):
        yield TokenizedInput(one, types[i] if types and types[i].any() else None)


class Measured(Protocol):
    """How closely answers match the reference: an Agreement, or a Certificate made from one."""

    @property
    def worst_cosine(self) -> float: ...
    @property
    def largest_error(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Agreement:
    """How closely computed answers match the reference, over all probes.

    Of vectors the cosines are those of each probe. A single logit has no direction, so the
    cosine of logits is that of one long vector, which holds those of all probes.
    """

    worst_cosine: float
    mean_cosine: float
    largest_error: float  # of any component of the unit vectors, or of any logit


def is_proved(task: Task, compute_dtype: Dtype, measured: Measured) -> bool:
    """Whether a model of this kind, computed in this precision, is close enough to its original."""
    if _yields_logits(task):
        return measured.largest_error <= LARGEST_LOGIT_ERROR[compute_dtype]
    return measured.worst_cosine >= WORST_COSINE[compute_dtype]


def figure(task: Task, measured: Measured) -> str:
    """The value that `is_proved` judges, in words."""
    if _yields_logits(task):
        return f"largest error {measured.largest_error:.1e} of a logit"
    return f"worst cosine {measured.worst_cosine:.7f}"


def bound(task: Task, compute_dtype: Dtype) -> str:
    """What `is_proved` asks for, in words that follow `needed`."""
    if _yields_logits(task):
        return f"at most {LARGEST_LOGIT_ERROR[compute_dtype]:.0e}"
    return f"at least {WORST_COSINE[compute_dtype]}"


def compare(reference: NDArray[np.float32], actual: NDArray[np.float32]) -> Agreement:
    """Agreement of two (P, D) arrays of vectors, row by row, computed in float64.

    Two vectors of zeros agree: a sparse one may well be empty.
    """
    # One row at a time, since a sparse vector is as wide as the vocabulary.
    rows = [_compare_row(left, right) for left, right in zip(reference, actual, strict=True)]
    cosines, errors = np.array(rows).T
    return Agreement(
        worst_cosine=float(np.nan_to_num(cosines, nan=-1.0).min()),
        mean_cosine=float(cosines.mean()),
        largest_error=float(errors.max()),
    )


def compare_logits(reference: NDArray[np.float32], actual: NDArray[np.float32]) -> Agreement:
    """Agreement of two (P, L) arrays of logits, computed in float64."""
    if reference.shape != actual.shape:
        raise ValueError(f"logits of shape {actual.shape}, the reference has {reference.shape}")
    cosine, _ = _compare_row(reference.ravel(), actual.ravel())
    error = np.abs(reference.astype(np.float64) - actual).max()
    return Agreement(cosine, cosine, largest_error=float(error))


def replay(
    session: Runs, probes: Probes, padding: Padding, output: str = SENTENCE_EMBEDDING
) -> Agreement:
    """Run every probe alone, and again in batches of mixed lengths, against the reference."""
    actual = [
        session.run(collate(batch, padding), (output,))[output] for batch in _rounds(probes.inputs)
    ]
    judge = compare_logits if output == LOGITS else compare
    return judge(np.tile(probes.vectors, (2, 1)), np.concatenate(actual))


def _yields_logits(task: Task) -> bool:
    return TASK_OUTPUTS[task] == LOGITS


def _rounds(inputs: Sequence[TokenizedInput]) -> Iterator[Sequence[TokenizedInput]]:
    for tokens in inputs:
        yield (tokens,)
    for start in range(0, len(inputs), BATCH_ROWS):
        yield inputs[start : start + BATCH_ROWS]


def _compare_row(left: NDArray[np.float32], right: NDArray[np.float32]) -> tuple[float, float]:
    """The cosine of two vectors, and the largest error of a component at length 1."""
    if not left.any() and not right.any():
        return 1.0, 0.0
    one, other = _unit(left), _unit(right)
    return float(one @ other), float(np.abs(one - other).max())


def _unit(vector: NDArray[np.float32]) -> NDArray[np.float64]:
    wide = vector.astype(np.float64)
    with np.errstate(invalid="ignore"):  # an infinite one becomes NaN, which agrees with nothing
        unit: NDArray[np.float64] = wide / (np.linalg.norm(wide) or 1.0)
    return unit
