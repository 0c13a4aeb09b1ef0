"""Answers of an original to single texts become the stored probes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from app.model.batch import TokenizedInput
from app.model.names import LEXICAL_WEIGHTS
from export.checkpoint import read
from export.checkpoint.read import Checkpoint
from export.errors import ExportError
from export.reference.answers import Answer, answered
from tests.support.configs import Write


@pytest.fixture
def checkpoint(write: Write) -> Checkpoint:
    """A checkpoint with vectors of 32 values."""
    return read.read(write())


def answer(text: str, prompt: str, width: int = 32) -> Answer:
    said = f"{prompt}{text}"
    tokens = TokenizedInput(np.array([ord(letter) for letter in said]))
    weights = np.arange(len(said), dtype=np.float32)
    return Answer(tokens, np.full(width, len(said), np.float32), {LEXICAL_WEIGHTS: weights})


def test_answers_come_in_the_order_of_their_texts(checkpoint: Checkpoint) -> None:
    asked: list[tuple[tuple[str, ...], str]] = []

    def ask(texts: Sequence[Any], prompt: str) -> list[Answer]:
        asked.append((tuple(texts), prompt))
        return [answer(text, prompt) for text in texts]

    threads = torch.get_num_threads()
    texts, prompts = ["a", "bb", "ccc", "dddd"], ["", "q: ", "", "q: "]
    found = answered(ask, texts, prompts, checkpoint)
    assert torch.get_num_threads() == threads
    assert found.texts == tuple(texts)
    assert found.prompts == tuple(prompts)
    assert found.vectors[:, 0].tolist() == [1, 5, 3, 7]
    assert [len(one) for one in found.inputs] == [1, 5, 3, 7]
    assert found.token_answers[LEXICAL_WEIGHTS].shape == (16,)
    assert {text: prompt for group, prompt in asked for text in group} == dict(
        zip(texts, prompts, strict=True)
    )


def test_a_model_that_cannot_be_run_is_one_line(checkpoint: Checkpoint) -> None:
    def ask(texts: Sequence[Any], prompt: str) -> list[Answer]:
        raise ValueError(f"no such\n{prompt}{texts}")

    with pytest.raises(ExportError, match=r"the original model in \S+ cannot be run: no such$"):
        answered(ask, ["a"], [], checkpoint)


def test_a_model_of_another_width_does_not_belong_to_its_files(checkpoint: Checkpoint) -> None:
    def ask(texts: Sequence[Any], prompt: str) -> list[Answer]:
        return [answer(text, prompt, width=8) for text in texts]

    with pytest.raises(ExportError, match=r"yields 8 values where config\.json states 32"):
        answered(ask, ["a"], [], checkpoint)
