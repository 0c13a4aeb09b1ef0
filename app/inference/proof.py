"""Proof: the probes that an export stores, and how closely a session reproduces them.

The probes are texts and pairs of texts, with the original model's token ids and its float32
answers: pooled vectors, sparse vectors or logits. Replaying them through the serving session shows
that graph, padding, provider and precision are right where the model is really served. Needs
NumPy only.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, Self
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from app.inference.agreement import Agreement, Answers, compare_logits, compare_vectors
from app.inference.batch import Batch, BatchLimits, TokenizedInput, collate, in_order
from app.inference.manifest import LOGITS, SENTENCE_EMBEDDING, Padding

BATCH_ROWS = 16
ALONE = 64  # of the probes also run alone

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
        chosen = _spread(len(self), count)
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


def replay(
    session: Runs,
    probes: Probes,
    padding: Padding,
    limits: BatchLimits,
    output: str = SENTENCE_EMBEDDING,
) -> Agreement:
    """Run the probes in batches of mixed lengths, some of them also alone, as serving would."""
    inputs = probes.inputs
    rows = replace(limits, max_rows=min(limits.max_rows or BATCH_ROWS, BATCH_ROWS))

    def run(batch: Sequence[TokenizedInput]) -> NDArray[np.float32]:
        length = limits.padded(max(map(len, batch)))
        return session.run(collate(batch, padding, length), (output,))[output]

    places = _spread(len(inputs), ALONE)
    answers = Answers(
        batched=np.concatenate(
            [run(inputs[place]) for place in in_order(list(map(len, inputs)), rows)]
        ),
        alone=np.concatenate([run([inputs[place]]) for place in places]),
        places=places,
    )
    compare = compare_logits if output == LOGITS else compare_vectors
    return compare(probes.vectors, answers)


def _spread(total: int, count: int) -> list[int]:
    """At most `count` places out of `total`, at even distances."""
    return [int(i) for i in np.unique(np.linspace(0, total - 1, min(count, total)).astype(int))]
