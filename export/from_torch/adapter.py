"""Adapter: a checkpoint whose weights include a LoRA adapter of its repository.

One export serves one adapter: its weights are added to the model's once, as PEFT's `merge` does.
"""

import argparse
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from export.checkpoint import read as checkpoints
from export.checkpoint.kinds import CHOICES, chosen
from export.checkpoint.read import Checkpoint
from export.config.documents import Document
from export.errors import ExportError
from export.from_torch.adapter_files import CONFIG_FILE, weights_file
from export.reference import original
from export.weights import tensors, weight_files

_PREFIX = "base_model.model."
# Other features of adapters; null, false and empty values mean that one is not used.
_UNSUPPORTED = (
    "use_dora",
    "rank_pattern",
    "alpha_pattern",
    "modules_to_save",
    "fan_in_fan_out",
    "lora_bias",
    "trainable_token_indices",
)


@dataclass(frozen=True, slots=True)
class Merging:
    """A whole checkpoint as it was read, and the folder of one of its adapters."""

    root: Path
    checkpoint: Checkpoint
    adapter: str


def main(arguments: Sequence[str]) -> None:
    """Run this step alone, from the command line of a subprocess.

    Raises: ExportError as `merge` does; SystemExit with status 2 for a usage error.
    """
    parser = argparse.ArgumentParser(prog="python -m export", allow_abbrev=False)
    parser.add_argument("--merge", type=Path, required=True, metavar="CHECKPOINT")
    parser.add_argument("--adapter", required=True)
    parser.add_argument("--into", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--pooling", choices=CHOICES)
    found = parser.parse_args(arguments)
    checkpoint = checkpoints.read(found.merge, chosen(found.pooling), may_be_silent=True)
    merge(Merging(found.merge, checkpoint, found.adapter), found.into)


def merge(wanted: Merging, target: Path) -> None:
    """Write the checkpoint to `target` with the adapter's weights in its own.

    Raises: ExportError if the adapter is of another kind, damaged, or of another model.
    """
    checkpoint = wanted.checkpoint
    folder = checkpoint.folder / wanted.adapter
    scale = _scale(Document.read(folder / CONFIG_FILE), folder / CONFIG_FILE)
    _, model = original.load(checkpoint, trust_code=False)
    add(model, tensors.read_all(weights_file(folder)), scale, folder)
    own = {path.name for path in weight_files.of_encoder(checkpoint.folder)}
    weights = (*own, "*.index.json", "onnx", "openvino")
    shutil.copytree(wanted.root, target, ignore=shutil.ignore_patterns(*weights))
    into = target / checkpoint.folder.relative_to(wanted.root)
    described = (into / "config.json").read_bytes()
    model.save_pretrained(into)
    (into / "config.json").write_bytes(described)  # transformers would write other keys


@torch.no_grad()
def add(model: Any, adapter: Mapping[str, torch.Tensor], scale: float, place: Path) -> None:
    """Add a LoRA adapter to a model's weights: the product of its two matrices, scaled.

    Raises: ExportError naming a tensor without a place in the model, or without a counterpart.
    """
    left = dict(adapter)
    own = dict(model.named_parameters())
    for name in adapter:
        for down, up in (
            ("lora_A.weight", "lora_B.weight"),
            ("lora_embedding_A", "lora_embedding_B"),
        ):
            if not name.endswith(f".{down}"):
                continue
            stem = name.removesuffix(down)
            weight = own.get(f"{stem.removeprefix(_PREFIX)}weight")
            if weight is None or stem + up not in left:
                raise ExportError(f"{place}: {name} belongs to no layer of the model")
            change = scale * (left.pop(stem + up).float() @ left.pop(name).float())
            change = change.T if down == "lora_embedding_A" else change
            if change.shape != weight.shape:
                raise ExportError(
                    f"{place}: {name} makes {tuple(change.shape)} of a layer of the shape "
                    f"{tuple(weight.shape)}: it was trained on another model"
                )
            weight += change
    if left or not adapter:
        raise ExportError(f"{place}: {next(iter(left), 'nothing')} is no part of a LoRA adapter")


def _scale(config: Document, path: Path) -> float:
    kind = config.value("peft_type", str)
    rank, alpha = config.value("r", int), config.number("lora_alpha")
    if kind != "LORA" or not rank or alpha is None:
        raise ExportError(f"{path} describes no LoRA adapter: {kind} is not supported")
    for key in _UNSUPPORTED:
        if config.is_set(key):
            raise ExportError(f"{path}: {key} is not supported: export the model without it")
    if config.value("bias", str) not in {None, "none"}:
        raise ExportError(f"{path}: bias: only none is supported")
    return alpha / rank**0.5 if config.value("use_rslora", bool) else alpha / rank
