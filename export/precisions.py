"""Precisions: the graphs of an exported folder, the float32 one and those made from it."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, get_args

from app.inference.manifest import PROBES_FILE, Dtype, Graph, Padding
from app.inference.proof import Probes
from export.describe import Names, exact
from export.fingerprint import lossy

# What may be asked for; of these only int8 has a graph of its own.
PrecisionChoice = Literal["auto", "float32", "bfloat16", "int8"]


def read(values: Iterable[str]) -> tuple[Dtype, ...]:
    """The precisions that get a graph of their own, from options that may hold several each.

    Raises: ValueError naming what is not a precision.
    """
    names = [name.strip() for value in values for name in value.split(",") if name.strip()]
    for name in names:
        if name not in get_args(PrecisionChoice):
            choices = ", ".join(get_args(PrecisionChoice))
            raise ValueError(f"{name!r} is not a precision: choose from {choices}")
    return ("int8",) if "int8" in names else ()


def make(
    folder: Path, names: Names, wanted: Sequence[Dtype], padding: Padding, fingerprint: str
) -> tuple[Graph, ...]:
    """Every graph, once the float32 one and the probes are in the folder.

    Raises: ExportError where one cannot be made.
    """
    first = exact(names)
    if "int8" not in wanted:
        return (first,)
    # onnx takes time to import, and a model that is there already needs none of it.
    from export import int8

    second = int8.quantize(folder, first, Probes.read(folder / PROBES_FILE), padding)
    return first, replace(second, fingerprint=lossy(fingerprint, int8.SCHEME))
