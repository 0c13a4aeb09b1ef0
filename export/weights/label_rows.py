"""Label rows: how many labels a classifier's weights have, if its config.json does not say."""

import json
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from app.model import untrusted
from export.errors import ExportError
from export.weights import weight_files

# The last layer of each family's classification head; a row of its weight is a label.
_LAST_LAYERS = (
    "classification_head.out_proj.weight",
    "classifier.out_proj.weight",
    "classifier.weight",
    "logits_proj.weight",
    "score.weight",
)


def count(folder: Path) -> int | None:
    """Return how many labels a checkpoint's weights have; None without weights, or if unknown.

    Raises: ExportError for weights that cannot be read.
    """
    try:
        files = weight_files.of_encoder(folder)
    except ExportError:  # a step that needs them reports it; a graph needs none
        return None
    for path in files:
        for name, shape in _shapes(path):
            if name in _LAST_LAYERS and len(shape) == 2:
                return shape[0]
    return None


def _shapes(path: Path) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield the name and shape of each tensor in a file."""
    if path.suffix == ".safetensors":
        for name, tensor in _header(path).items():
            if name != "__metadata__":
                yield name, tuple(tensor["shape"])
        return
    # Only pickles need torch, which takes seconds to import and may not be installed.
    try:
        from export.weights import tensors
    except ModuleNotFoundError:
        return
    yield from tensors.shapes(path)


def _header(path: Path) -> Mapping[str, Any]:
    """Return the header of a safetensors file, which describes its tensors."""
    try:
        with path.open("rb") as stream:
            [size] = struct.unpack("<Q", stream.read(8))
            if size > untrusted.MOST_JSON:
                raise ValueError("its header is too large")
            found: Mapping[str, Any] = json.loads(stream.read(size))
            return found
    except (OSError, ValueError, struct.error) as error:
        raise ExportError(f"{path} cannot be read: {error}") from None
