"""Tokenizer file: `tokenizer.json` as it is served, lower-casing where a model asks."""

import json
import shutil
from pathlib import Path
from typing import Any

from app.inference.manifest import TOKENIZER_FILE
from export.documents import Document, read_json
from export.errors import ExportError


def keeps_case(folder: Path) -> bool:
    """Whether the tokenizer of a checkpoint leaves upper-case letters as they are.

    Raises: ExportError for a file that is no tokenizer.
    """
    path = folder / TOKENIZER_FILE
    normalizer = Document.read(path).value("normalizer", dict)
    return not any(_lowers(one) for one in _steps(normalizer, path))


def write(folder: Path, target: Path, *, lower_case: bool) -> None:
    """Copy the tokenizer of a checkpoint to `target`, and have it lower-case first if need be."""
    path = folder / TOKENIZER_FILE
    if not lower_case:
        shutil.copyfile(path, target)
        return
    content = read_json(path)
    assert isinstance(content, dict)
    steps = [{"type": "Lowercase"}, *_steps(content.get("normalizer"), path)]
    content["normalizer"] = {"type": "Sequence", "normalizers": steps}
    target.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def _lowers(step: Any) -> bool:
    kind = step.get("type") if isinstance(step, dict) else None
    return kind == "Lowercase" or (kind == "BertNormalizer" and bool(step.get("lowercase")))


def _steps(normalizer: dict[str, Any] | None, path: Path) -> list[Any]:
    if normalizer is None:
        return []
    if normalizer.get("type") != "Sequence":
        return [normalizer]
    steps = normalizer.get("normalizers")
    if not isinstance(steps, list):
        raise ExportError(f"{path}: its normalizer is damaged: fetch the model again")
    return steps
