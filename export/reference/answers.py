"""Answers: an original model's outputs for single texts, collected into probes."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from app.model.batch import TokenizedInput
from app.proof.probes import Probes, ProbeText
from export.checkpoint.read import Checkpoint
from export.errors import ExportError, first_line
from export.progress import counted

_AT_A_TIME = 8  # texts between two lines of progress


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """A model's output for one text: its tokens, one vector, and values for single tokens."""

    tokens: TokenizedInput
    vector: NDArray[np.float32]  # (D,); (0,) if the model has vectors for tokens only
    each: Mapping[str, NDArray[Any]]  # by output, for the tokens that a probe keeps


# From texts or pairs, and the prompt that is named with all of them ("": none), to their answers.
Ask = Callable[[Sequence[Any], str], Sequence[Answer]]


def answered(
    ask: Ask, texts: Sequence[ProbeText], prompts: Sequence[str], checkpoint: Checkpoint
) -> Probes:
    """Ask about every text, with its prompt if there are prompts, and return the probes.

    Raises: ExportError if the model fails, or yields vectors of another width than its files say.
    """
    try:
        answers = _side_by_side(ask, texts, prompts or ("",) * len(texts))
    except ExportError:
        raise
    except Exception as error:  # a strange config.json can make it fail in any way
        raise ExportError(
            f"the original model in {checkpoint.folder} cannot be run: {first_line(error)}"
        ) from error
    vectors = np.stack([one.vector for one in answers])
    if checkpoint.task != "multi_vector" and vectors.shape[1] != checkpoint.dimensions:
        raise ExportError(
            f"the model yields {vectors.shape[1]} values where config.json states "
            f"{checkpoint.dimensions}: it does not belong to these weights"
        )
    return Probes(
        texts=tuple(texts),
        inputs=tuple(one.tokens for one in answers),
        vectors=vectors,
        token_answers={
            name: np.concatenate([one.each[name] for one in answers]) for name in answers[0].each
        },
        prompts=tuple(prompts),
    )


def _side_by_side(ask: Ask, texts: Sequence[ProbeText], prompts: Sequence[str]) -> list[Answer]:
    """Return the answer to each text, several computed at a time, each by torch on one thread.

    Torch's own threads wait for each other by spinning, which takes ten times as long on a busy
    machine.
    """
    threads = torch.get_num_threads()
    groups = list(_groups(prompts, threads))
    torch.set_num_threads(1)
    try:
        with counted(len(texts), "texts") as count, ThreadPoolExecutor(threads) as pool:

            def answer(places: Sequence[int]) -> list[Answer]:
                found: list[Answer] = []
                for first in range(0, len(places), _AT_A_TIME):
                    some = places[first : first + _AT_A_TIME]
                    found += ask([texts[i] for i in some], prompts[places[0]])
                    count(len(some))
                return found

            found = list(pool.map(answer, groups))
    finally:
        torch.set_num_threads(threads)
    by_place = dict(zip(chain(*groups), chain(*found), strict=True))
    return [by_place[i] for i in range(len(texts))]


def _groups(prompts: Sequence[str], threads: int) -> Iterator[list[int]]:
    """Yield the positions of texts with the same prompt, in at most `threads` groups a prompt."""
    for prompt in dict.fromkeys(prompts):
        places = [i for i, one in enumerate(prompts) if one == prompt]
        for first in range(min(threads, len(places))):
            yield places[first::threads]
