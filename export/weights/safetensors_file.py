"""Safetensors file: the weights of layers behind the encoder, read by NumPy, without torch.

The format: eight bytes with the length of a header, the header as JSON, which gives each tensor a
type, a shape and its place in the bytes that follow.
"""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from export.config.layers import Layer, Normalize, Shapes, Tensors, Weights
from export.errors import ExportError
from export.weights.weight_files import of_layer

_PREFIX = 8  # bytes
_MOST_HEADER = 10_000_000  # bytes; a layer's has some hundred
_METADATA = "__metadata__"
_TYPES: Mapping[str, str] = MappingProxyType(
    {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}
)


def load(layers: Sequence[Layer]) -> Weights:
    """Return the weights of each layer, in float32.

    Raises: ExportError naming the file that is missing, damaged, a pickle, or of another shape.
    """
    return {layer: _load_layer(layer) for layer in layers}


def _load_layer(layer: Layer) -> Tensors:
    if isinstance(layer, Normalize):
        return {}
    path = of_layer(layer.weights)
    if path.suffix != ".safetensors":
        raise ExportError(
            f"{path} is a pickle, which only PyTorch reads safely, and is not here to do: export "
            "the model from its original weights (make export)"
        )
    return read(path, layer.shapes)


def read(path: Path, shapes: Shapes) -> Tensors:
    """Read the tensors of a file, in float32; names and shapes must be exactly these.

    Raises: ExportError naming the file or tensor that is damaged, or has another name or shape.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ExportError(f"{path} cannot be read: {error.strerror}") from None
    length = int.from_bytes(content[:_PREFIX], "little")
    if len(content) < _PREFIX or length > min(_MOST_HEADER, len(content) - _PREFIX):
        raise ExportError(f"{path} is damaged: fetch the model again")
    try:
        header = json.loads(content[_PREFIX : _PREFIX + length])
    except (ValueError, RecursionError):
        raise ExportError(f"{path} is damaged: fetch the model again") from None
    names = set(header) - {_METADATA} if isinstance(header, dict) else set()
    if names != set(shapes):
        held = ", ".join(sorted(names)) or "nothing"
        raise ExportError(f"{path} holds {held} instead of {', '.join(shapes)}")
    values = memoryview(content)[_PREFIX + length :]
    return {name: _tensor(header[name], values, f"{path}: {name}", shapes[name]) for name in shapes}


def _tensor(
    declared: Any, values: memoryview, where: str, wanted: tuple[int | None, ...]
) -> NDArray[np.float32]:
    match declared:
        case {"dtype": str(kind), "shape": [*shape], "data_offsets": [int(start), int(end)]} if all(
            type(size) is int for size in shape
        ):
            pass
        case _:
            raise ExportError(f"{where} is damaged: fetch the model again")
    if kind not in _TYPES:
        raise ExportError(f"{where} is of type {kind}, only {', '.join(_TYPES)} are read")
    if len(shape) != len(wanted) or any(
        size is not None and size != found for found, size in zip(shape, wanted, strict=True)
    ):
        raise ExportError(f"{where} has the shape {tuple(shape)}, its config.json says {wanted}")
    stored = np.dtype(_TYPES[kind])
    if not 0 <= start <= end <= len(values) or end - start != math.prod(shape) * stored.itemsize:
        raise ExportError(f"{where} is damaged: fetch the model again")
    array = np.frombuffer(values[start:end], stored).reshape(shape)
    if kind == "BF16":  # the upper half of a float32
        return (array.astype(np.uint32) << 16).view(np.float32)
    return array.astype(np.float32)
