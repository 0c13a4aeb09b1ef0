"""Answers: what an original model says of single texts, gathered to the probes that are stored."""

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


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """What a model says of one text: its tokens, one vector, and values for single tokens."""

    tokens: TokenizedInput
    vector: NDArray[np.float32]  # (D,); of a model that has vectors for tokens only, (0,)
    each: Mapping[str, NDArray[Any]]  # by output, for those tokens that a probe keeps


# Texts or pairs, and the prompt that is named with all of them, "" for none; an answer to each.
Ask = Callable[[Sequence[Any], str], Sequence[Answer]]


def answered(
    ask: Ask, texts: Sequence[ProbeText], prompts: Sequence[str], checkpoint: Checkpoint
) -> Probes:
    """Ask for every text, with its prompt if there are prompts; the probes of all answers.

    Raises: ExportError when the model fails, or yields something else than its files say.
    """
    try:
        answers = _side_by_side(ask, texts, prompts or ("",) * len(texts))
    except ExportError:
        raise
    except Exception as error:  # what a strange config.json makes of a model is anything
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
    """The answer to each text, several at a time, each computed by torch on one thread.

    Torch's own threads wait for each other by spinning, which on a machine with other work to do
    takes ten times as long.
    """
    threads = torch.get_num_threads()
    groups = list(_groups(prompts, threads))
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(threads) as pool:
            found = list(
                pool.map(lambda places: ask([texts[i] for i in places], prompts[places[0]]), groups)
            )
    finally:
        torch.set_num_threads(threads)
    by_place = dict(zip(chain(*groups), chain(*found), strict=True))
    return [by_place[i] for i in range(len(texts))]


def _groups(prompts: Sequence[str], threads: int) -> Iterator[list[int]]:
    """Places of texts that share a prompt, in as many groups of each as there are threads."""
    for prompt in dict.fromkeys(prompts):
        places = [i for i, one in enumerate(prompts) if one == prompt]
        for first in range(min(threads, len(places))):
            yield places[first::threads]
