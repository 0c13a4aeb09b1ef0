"""Measure: export a checkpoint, serve it in each precision, and compare with the original."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.model.manifest import Manifest
from app.model.names import LOGITS, TASK_OUTPUTS, Dtype, Task
from export import pipeline
from export.cli import Request
from tools.models.asked import Asked, ask
from tools.models.results import Figures
from tools.models.served import DidNotStart, serve
from tools.process import ROOT


@dataclass(frozen=True)
class Precision:
    """A precision of a server: the flags and variables to start with."""

    name: str
    flags: tuple[str, ...]
    environment: Mapping[str, str]


@dataclass(frozen=True)
class Measured:
    """An exported model's manifest, and its figures by precision."""

    manifest: Manifest
    figures: Mapping[str, Figures | None]  # None where a server refuses to start


def measure(
    checkpoint: Path, work: Path, precisions: Sequence[Precision], python: Path
) -> Measured:
    """Compare served answers with those of the original, which `python` can load."""
    dtypes: tuple[Dtype, ...] = ("int8",) if any(one.name == "int8" for one in precisions) else ()
    folder = pipeline.export(Request(str(checkpoint), models_dir=work / "models", dtypes=dtypes))
    manifest = Manifest.read(folder)
    prompts = [name for name, text in manifest.prompts.items() if text]
    asked = ask(checkpoint, manifest.task, manifest.max_input_length, prompts)
    expected = original(asked, work, python)
    figures: dict[str, Figures | None] = {}
    for one in precisions:
        try:
            with serve(folder, one.flags, one.environment, work / f"{one.name}.log") as service:
                alone = [service.answers([question]) for question in asked.questions]
                together = service.answers(asked.questions)
        except DidNotStart:
            if one.name == "float32":
                raise
            figures[one.name] = None
        else:
            found = np.concatenate(alone), together
            figures[one.name] = compare(manifest.task, expected, *found)
    return Measured(manifest, figures)


def original(asked: Asked, work: Path, python: Path) -> NDArray[np.float32]:
    """Return the original's answers, from a process of its own: a row for each question."""
    questions, answers = work / "asked.json", work / "answers.npy"
    questions.write_text(json.dumps(asked.content()))
    command = [str(python), "-m", "tools.models.reference", str(questions), str(answers)]
    subprocess.run(command, cwd=ROOT, check=True)
    found: NDArray[np.float32] = np.load(answers)
    return found


def compare(
    task: Task,
    expected: NDArray[np.float32],
    alone: NDArray[np.float32],
    together: NDArray[np.float32],
) -> Figures:
    """The figures of answers to the same questions, in float64."""
    if TASK_OUTPUTS[task] == LOGITS:
        errors = [np.abs(one.astype(float) - expected).max() for one in (alone, together)]
        return Figures(float(max(errors)), float(np.abs(alone - together).max()))
    reference, one, many = map(_unit, (expected, alone, together))
    cosines = [np.einsum("nd,nd->n", reference, found) for found in (one, many)]
    return Figures(float(np.min(cosines)), float(np.abs(one - many).max()))


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float64]:
    wide = vectors.astype(np.float64)
    found: NDArray[np.float64] = wide / np.linalg.norm(wide, axis=1, keepdims=True)
    return found


def worse(figures: Sequence[Figures | None], task: Task) -> Figures | None:
    """The worst of several measurements of the same model."""
    found = [one for one in figures if one is not None]
    if len(found) < len(figures):
        return None
    worst = max if TASK_OUTPUTS[task] == LOGITS else min
    return Figures(worst(one.worst for one in found), max(one.together for one in found))
