"""Fingerprint: what makes two exports the same vector space, as one digest."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

from app.inference.manifest import file_digest
from export.checkpoint import Checkpoint
from export.documents import Document
from export.errors import ExportError


def fingerprint(weights: Sequence[Path], tokenizer: Path, checkpoint: Checkpoint) -> str:
    """SHA-256 over weights, tokenizer, pooling, labels, prompts and length; no tool versions."""
    space: dict[str, object] = {
        "weights": [file_digest(path) for path in weights],
        "tokenizer": file_digest(tokenizer),
        "pooling": checkpoint.pooling or checkpoint.task,
        "prompts": checkpoint.prompts,
        "default_prompt_name": checkpoint.default_prompt_name,
        "max_input_length": checkpoint.max_input_length,
    }
    if checkpoint.labels:
        space["labels"] = checkpoint.labels
    return hashlib.sha256(json.dumps(space, sort_keys=True).encode()).hexdigest()


def weight_files(folder: Path) -> list[Path]:
    """The files that transformers loads the weights from, in the order that it prefers.

    Raises: ExportError when there are none, or a part of them is missing.
    """
    for name in ("model.safetensors", "pytorch_model.bin"):
        if (folder / name).is_file():
            return [folder / name]
        parts = (Document.read(folder / f"{name}.index.json")).value("weight_map", dict) or {}
        files = [folder / part for part in sorted(set(parts.values()))]
        missing = next((path for path in files if not path.is_file()), None)
        if missing:
            raise ExportError(f"{missing} is missing: fetch the model again")
        if files:
            return files
    raise ExportError(f"{folder} has no weights: model.safetensors or pytorch_model.bin is missing")
