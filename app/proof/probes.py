"""Probes: the texts that an export stores, and the original model's answers for them.

They are texts and pairs of texts, with the original tokenizer's ids and the model's float32
answers: pooled vectors, sparse vectors or logits, and answers for single tokens. The file is
untrusted: everything in it is checked. Needs NumPy only.
"""

import json
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from app.model import untrusted
from app.model.batch import TokenizedInput
from app.proof import npz_file
from app.proof.token_answers import AXES, TokenAnswers, kept_places

ProbeText = str | tuple[str, str]
_Stored = Mapping[str, NDArray[np.generic]]


class ProbesError(Exception):
    """The stored probes cannot be read."""


@dataclass(frozen=True, slots=True, eq=False)
class Probes:
    """P texts or pairs with the reference's token ids and answers, before normalization.

    If the model has prompts, each probe has the prompt that it named, and without one the model's
    default was used.
    """

    texts: tuple[ProbeText, ...]
    inputs: tuple[TokenizedInput, ...]
    vectors: NDArray[np.float32]  # (P, D), (P, V) of sparse vectors or (P, L) of logits
    token_answers: TokenAnswers = field(default_factory=dict)  # for single tokens
    prompts: tuple[str, ...] = ()  # P, if there are any; "" for none
    names: tuple[str, ...] = ()  # P, of the prompts that choose a route; "" for none

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, count: int) -> Self:
        """Return at most `count` probes, spread evenly over all of them."""
        return self.at(spread(len(self), count))

    def at(self, chosen: Sequence[int]) -> Self:
        """Return the probes at these places."""
        return type(self)(
            tuple(self.texts[i] for i in chosen),
            tuple(self.inputs[i] for i in chosen),
            self.vectors[chosen],
            {
                name: np.concatenate([values[place] for place in self._places(name, chosen)])
                for name, values in self.token_answers.items()
            },
            tuple(self.prompts[i] for i in chosen) if self.prompts else (),
            tuple(self.names[i] for i in chosen) if self.names else (),
        )

    def write(self, path: Path) -> None:
        """Store the probes as an `.npz` of plain arrays, compressed if most values are 0."""
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
            **self._stored_prompts(),
        )

    def _stored_prompts(self) -> dict[str, NDArray[np.generic]]:
        names = np.frombuffer(json.dumps(self.names).encode(), np.uint8)
        stored: dict[str, NDArray[np.generic]] = {"names": names} if self.names else {}
        if not self.prompts:
            return stored
        return stored | {
            "prompts": np.frombuffer(json.dumps(self.prompts).encode(), np.uint8),
            "prompt_lengths": np.array([one.prompt_length for one in self.inputs], np.int64),
        }

    @classmethod
    def read(cls, path: Path, token_outputs: Sequence[str] = ()) -> Self:
        """Load what `write` stored, with answers for tokens of these outputs.

        Raises: ProbesError naming the file, if it is not such a store.
        """
        try:
            untrusted.require_plain(path)
            npz_file.require_sound(path)
            with path.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
                texts = tuple(map(_text, json.loads(stored["texts"].tobytes())))
                inputs = tuple(_inputs(stored))
                prompts = _labels(stored, "prompts", len(inputs))
                names = _labels(stored, "names", len(inputs))
                vectors = _floats(stored, "vectors", 2)
                token_answers = {
                    name: _floats(stored, name, axes)
                    for name, axes in AXES.items()
                    if name in stored
                }
        except RecursionError:
            raise ProbesError(f"{path} cannot be read: its texts are nested too deeply") from None
        except (OSError, ValueError, LookupError, TypeError, EOFError) as error:
            raise ProbesError(f"{path} cannot be read: {error}") from None
        except (BadZipFile, RuntimeError, struct.error, zlib.error) as error:  # of a damaged zip
            raise ProbesError(f"{path} cannot be read: {error}") from None
        if not texts or not len(texts) == len(inputs) == len(vectors):
            raise ProbesError(f"{path} holds {len(texts)} texts and {len(vectors)} vectors")
        for name in token_outputs:
            if name not in token_answers:
                raise ProbesError(f"{path} holds no {name}: export the model again")
        for name, values in token_answers.items():
            tokens = sum(len(kept_places(name, len(one))) for one in inputs)
            if len(values) != tokens:
                raise ProbesError(f"{path} holds {name} of {len(values)} tokens, not of {tokens}")
        return cls(texts, inputs, vectors, token_answers, prompts, names)

    def _places(self, output: str, chosen: Sequence[int]) -> Iterator[slice]:
        """Yield the places of the answers for the tokens of the chosen probes."""
        ends = np.cumsum([len(kept_places(output, len(one))) for one in self.inputs])
        for probe in chosen:
            yield slice(ends[probe - 1] if probe else 0, ends[probe])


def require_width(probes: Probes, width: int, path: Path) -> None:
    """Raise ProbesError unless the reference vectors have the manifest's width."""
    # A model with vectors for tokens only has none for a whole text.
    fitting = {(width,), (0,)} if probes.token_answers else {(width,)}
    if probes.vectors.shape[1:] not in fitting:
        found = "×".join(map(str, probes.vectors.shape[1:])) or "1"
        raise ProbesError(f"{path} holds answers of {found} values, the manifest says {width}")


def _text(stored: object) -> ProbeText:
    match stored:
        case str():
            return stored
        case [str(first), str(second)]:  # JSON has no tuples
            return first, second
    raise ValueError("what is asked is neither a text nor a pair of texts")


def _floats(stored: _Stored, name: str, axes: int) -> NDArray[np.float32]:
    values = stored[name]
    if values.dtype != np.float32 or values.ndim != axes:
        raise ValueError(f"{name} is not a float32 array of {axes} axes")
    return np.ascontiguousarray(values, np.float32)


def _integers(stored: _Stored, name: str) -> NDArray[np.int64]:
    values = stored[name]
    if values.dtype != np.int64 or values.ndim != 1:
        raise ValueError(f"{name} is not a list of integers")
    return np.ascontiguousarray(values, np.int64)


def type_ids(tokens: TokenizedInput) -> NDArray[np.int64]:
    """Return the token types of an input, (S,): 0 unless it has its own."""
    if tokens.token_type_ids is None:
        return np.zeros(len(tokens), np.int64)
    return tokens.token_type_ids


def _inputs(stored: _Stored) -> Iterator[TokenizedInput]:
    lengths, every = _integers(stored, "lengths"), _integers(stored, "input_ids")
    if lengths.min(initial=1) < 1 or sum(map(int, lengths)) != len(every):
        raise ValueError("the lengths are not those of the token ids")
    ends = np.cumsum(lengths)[:-1]
    types: list[NDArray[np.int64]] | None = None
    if "token_type_ids" in stored:  # missing in folders exported before there were pairs
        all_types = _integers(stored, "token_type_ids")
        if len(all_types) != len(every):
            raise ValueError("there are not as many token types as token ids")
        types = np.split(all_types, ends)
    before = np.zeros(len(lengths), np.int64)
    if "prompt_lengths" in stored:
        before = _integers(stored, "prompt_lengths")
        if len(before) != len(lengths) or (before < 0).any() or (before >= lengths).any():
            raise ValueError("the lengths of the prompts are not those of parts of the texts")
    for i, one in enumerate(np.split(every, ends)):
        yield TokenizedInput(one, types[i] if types and types[i].any() else None, int(before[i]))


def _labels(stored: _Stored, name: str, count: int) -> tuple[str, ...]:
    """Return one text for each probe, if they are stored."""
    if name not in stored:
        return ()
    found = json.loads(stored[name].tobytes())
    match found:
        case list() if len(found) == count and all(isinstance(one, str) for one in found):
            return tuple(found)
    raise ValueError(f"its {name} are not one text for each probe")


def spread(total: int, count: int) -> list[int]:
    """Return at most `count` places out of `total`, at even distances."""
    return [int(i) for i in np.unique(np.linspace(0, total - 1, min(count, total)).astype(int))]
