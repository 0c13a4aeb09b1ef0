"""Tokenizer file: `tokenizer.json` as it is served, lower-casing if the model asks for it."""

import json
import shutil
from pathlib import Path
from typing import Any

from app.model.manifest import TOKENIZER_FILE
from export.config.documents import Document, read_json
from export.errors import ExportError

# The files that transformers may build a tokenizer from.
_SOURCES = (
    TOKENIZER_FILE,
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "*.model",
)


def sources(folder: Path) -> list[Path]:
    """Return the files that a checkpoint's tokenizer is built from, if it has to be built."""
    return [path for pattern in _SOURCES for path in sorted(folder.glob(pattern))]


def keeps_case(path: Path) -> bool:
    """Check whether a tokenizer leaves upper-case letters as they are.

    Raises: ExportError for a file that is no tokenizer.
    """
    normalizer = Document.read(path).value("normalizer", dict)
    return not any(_lowers(one) for one in _steps(normalizer, path))


def write(path: Path, target: Path, *, lower_case: bool) -> None:
    """Copy a tokenizer file to `target`; with `lower_case`, add lower-casing as its first step."""
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
