"""Tensors: the weights of the layers behind the encoder, from safetensors or a pickle of tensors.

Pickles are loaded with `weights_only`, which builds tensors and runs nothing.
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from zipfile import ZIP_STORED, BadZipFile, ZipFile, is_zipfile

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from export.config.layers import Layer, Normalize, Shapes, Tensors, Weights
from export.errors import ExportError, first_line
from export.weights.weight_files import of_layer


def load(layers: Sequence[Layer]) -> Weights:
    """Return the weights of each layer, in float32.

    Raises: ExportError naming the file that is missing, damaged or of another shape.
    """
    return {layer: _load_layer(layer) for layer in layers}


def shapes(path: Path) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield the name and shape of each tensor in a file.

    Raises: ExportError if the file is damaged.
    """
    found = _open(path)
    for name, tensor in found.items() if isinstance(found, Mapping) else ():
        yield name, tuple(getattr(tensor, "shape", ()))


def read_all(path: Path) -> Mapping[str, torch.Tensor]:
    """Return every tensor in a file, by name.

    Raises: ExportError if the file is damaged, or holds anything else.
    """
    found = _open(path)
    if not isinstance(found, Mapping) or not all(map(torch.is_tensor, found.values())):
        raise ExportError(f"{path} holds more than tensors")
    return found


def _load_layer(layer: Layer) -> Tensors:
    return {} if isinstance(layer, Normalize) else read(of_layer(layer.weights), layer.shapes)


def read(path: Path, *layouts: Shapes) -> Tensors:
    """Read the tensors of a file, in float32; they must be exactly those of one of the layouts.

    Raises: ExportError naming the file that is missing, damaged or of another shape.
    """
    found = _open(path)
    names = found.keys() if isinstance(found, Mapping) else set()
    shapes = next((one for one in layouts if names == one.keys()), None)
    if shapes is None:
        held = ", ".join(map(str, found)) if isinstance(found, Mapping) else type(found).__name__
        raise ExportError(f"{path} holds {held} instead of {', '.join(layouts[0])}")
    return {name: _array(found[name], shape, f"{path}: {name}") for name, shape in shapes.items()}


def _open(path: Path) -> Any:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        _refuse_compressed(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of pickles that it then refuses
            return torch.load(path, map_location="cpu", weights_only=True)
    except UnpicklingError:  # torch's message tells how to run its code: left out
        raise ExportError(
            f"{path} cannot be read: it is damaged, or holds more than tensors, which is never "
            "loaded"
        ) from None
    except (SafetensorError, OSError, RuntimeError, ValueError, EOFError) as error:
        raise ExportError(f"{path} cannot be read: {first_line(error)}") from None
    except (KeyError, TypeError, AttributeError, BadZipFile) as error:  # of a damaged pickle
        raise ExportError(f"{path} cannot be read: {first_line(error)}") from None


def _refuse_compressed(path: Path) -> None:
    """Refuse a compressed archive: PyTorch writes none, and a small one could fill the memory."""
    if is_zipfile(path):
        with ZipFile(path) as archive:
            if any(one.compress_type != ZIP_STORED for one in archive.infolist()):
                raise ExportError(f"{path} is compressed, which PyTorch never does: not read")


def _array(tensor: Any, shape: tuple[int | None, ...], where: str) -> np.ndarray[Any, Any]:
    found = tuple(getattr(tensor, "shape", ()))
    known = [(size, wanted) for size, wanted in zip(found, shape, strict=False) if wanted]
    if len(found) != len(shape) or any(size != wanted for size, wanted in known):
        words = str(shape).replace("None", "any")
        raise ExportError(f"{where} has the shape {found}, its config.json says {words}")
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        raise ExportError(f"{where} is larger than its file: fetch the model again")
    array: np.ndarray[Any, Any] = tensor.to(torch.float32).numpy()
    return array
