"""Proof: the probes that an export stores, and how closely a session reproduces them.

The probes are texts and pairs of texts, with the original model's token ids and its float32
answers: pooled vectors, sparse vectors or logits, and what it says of single tokens. Replaying
them through the serving session shows that graph, padding, provider and precision are right where
the model is really served. Needs NumPy only.
"""

import json
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, Self
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from app.inference import archive, bounded
from app.inference.agreement import Agreement, Answers, compare_logits, compare_vectors
from app.inference.batch import Batch, BatchLimits, TokenizedInput, collate, in_order
from app.inference.manifest import LOGITS, PER_TOKEN_OUTPUTS, SENTENCE_EMBEDDING, Padding
from app.inference.token_answers import TokenAnswers, judged_with, kept

BATCH_ROWS = 16
ALONE = 64  # of the probes also run alone

ProbeText = str | tuple[str, str]
_Found = Mapping[str, NDArray[np.float32]]  # what a run says of one input, by output


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
    token_answers: TokenAnswers = field(default_factory=dict)  # what it says of single tokens

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, count: int) -> Self:
        """At most `count` probes, spread evenly over all of them."""
        chosen = _spread(len(self), count)
        return type(self)(
            tuple(self.texts[i] for i in chosen),
            tuple(self.inputs[i] for i in chosen),
            self.vectors[chosen],
            {
                name: np.concatenate([values[place] for place in self._places(name, chosen)])
                for name, values in self.token_answers.items()
            },
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
            allow_pickle=False,
            **self.token_answers,
        )

    @classmethod
    def read(cls, path: Path, token_outputs: Sequence[str] = ()) -> Self:
        """Load what `write` stored, answers for tokens of these outputs among it.

        Raises: ProbesError naming the file, for anything that is not such a store.
        """
        try:
            bounded.require_plain(path)
            archive.require_sound(path)
            with path.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
                texts = tuple(map(_text, json.loads(stored["texts"].tobytes())))
                inputs = tuple(_inputs(stored))
                vectors = np.ascontiguousarray(stored["vectors"], np.float32)
                token_answers = {
                    name: np.ascontiguousarray(stored[name], np.float32)
                    for name in sorted(PER_TOKEN_OUTPUTS & set(stored))
                }
        except (OSError, ValueError, LookupError, TypeError, EOFError) as error:
            raise ProbesError(f"{path} cannot be read: {error}") from None
        except (BadZipFile, RuntimeError, struct.error, zlib.error) as error:  # of a damaged zip
            raise ProbesError(f"{path} cannot be read: {error}") from None
        if not len(texts) == len(inputs) == len(vectors):
            raise ProbesError(f"{path} holds {len(texts)} texts and {len(vectors)} vectors")
        for name in token_outputs:
            if name not in token_answers:
                raise ProbesError(f"{path} holds no {name}: export the model again")
        for name, values in token_answers.items():
            tokens = sum(len(kept(name, len(one))) for one in inputs)
            if len(values) != tokens:
                raise ProbesError(f"{path} holds {name} of {len(values)} tokens, not of {tokens}")
        return cls(texts, inputs, vectors, token_answers)

    def _places(self, output: str, chosen: Sequence[int]) -> Iterator[slice]:
        """Where the answers for the tokens of the chosen probes stand."""
        ends = np.cumsum([len(kept(output, len(one))) for one in self.inputs])
        for probe in chosen:
            yield slice(ends[probe - 1] if probe else 0, ends[probe])


def require_width(probes: Probes, width: int, path: Path) -> None:
    """Raise ProbesError unless the reference has as many values each as the manifest says."""
    # A model that has vectors for tokens alone has none for a whole text.
    fitting = {(width,), (0,)} if probes.token_answers else {(width,)}
    if probes.vectors.shape[1:] not in fitting:
        found = "×".join(map(str, probes.vectors.shape[1:])) or "1"
        raise ProbesError(f"{path} holds answers of {found} values, the manifest says {width}")


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
    lengths, every = stored["lengths"], stored["input_ids"]
    whole = lengths.dtype == every.dtype == np.int64 and lengths.ndim == every.ndim == 1
    if not whole or lengths.min(initial=1) < 1 or lengths.sum() != len(every):
        raise ValueError("the lengths are not those of the token ids")
    ends = np.cumsum(lengths)[:-1]
    ids = np.split(every, ends)
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
    outputs = tuple(dict.fromkeys((output, *probes.token_answers)))
    rows = limits.capped(BATCH_ROWS)

    def run(batch: Sequence[TokenizedInput]) -> list[_Found]:
        collated = collate(batch, padding, limits.padded(max(map(len, batch))))
        return _by_input(session.run(collated, outputs), collated.attention_mask == 1)

    together = [
        found for place in in_order(list(map(len, inputs)), rows) for found in run(inputs[place])
    ]
    places = _spread(len(inputs), ALONE)
    alone = [run([inputs[place]])[0] for place in places]
    answers = {name: _answers(name, together, alone, places) for name in outputs}
    if output in probes.token_answers:
        agreement = compare_vectors(probes.token_answers[output], answers[output])
    else:
        compare = compare_logits if output == LOGITS else compare_vectors
        agreement = compare(probes.vectors, answers[output])
    for name, reference in probes.token_answers.items():
        if name != output:
            agreement = judged_with(agreement, name, reference, answers[name])
    return agreement


def _by_input(results: Mapping[str, NDArray[np.float32]], real: NDArray[np.bool_]) -> list[_Found]:
    """What one run says of each input: one row, or of each token that is kept one."""
    found: list[_Found] = []
    for row, mask in enumerate(real):
        one = {}
        for name, values in results.items():
            if name in PER_TOKEN_OUTPUTS:
                one[name] = values[row][mask][kept(name, int(mask.sum()))]
            else:
                one[name] = values[row : row + 1]
        found.append(one)
    return found


def _answers(
    output: str, together: Sequence[_Found], alone: Sequence[_Found], places: Sequence[int]
) -> Answers:
    """All rows of one output; probes may have several, which then are those of tokens."""
    ends = np.cumsum([len(found[output]) for found in together])
    return Answers(
        batched=np.concatenate([found[output] for found in together]),
        alone=np.concatenate([found[output] for found in alone]),
        places=[
            row
            for place in places
            for row in range(ends[place] - len(together[place][output]), ends[place])
        ],
    )


def _spread(total: int, count: int) -> list[int]:
    """At most `count` places out of `total`, at even distances."""
    return [int(i) for i in np.unique(np.linspace(0, total - 1, min(count, total)).astype(int))]
