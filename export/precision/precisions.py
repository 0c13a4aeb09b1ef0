"""Precisions: the graphs of an exported folder, the float32 one and those made from it."""

import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import get_args

from app.model.manifest import PROBES_FILE
from app.model.names import OWN_GRAPHS, Dtype, DtypeChoice
from app.model.parts import Graph, GraphNames
from app.proof.probes import Probes
from export.checkpoint.read import Checkpoint
from export.errors import ExportError
from export.folder.describe import exact, quantized
from export.folder.fingerprint import lossy

logger = logging.getLogger(__name__)


def read(values: Iterable[str]) -> tuple[Dtype, ...]:
    """Return the precisions that get their own graph, from options that may list several each.

    Raises: ValueError naming the text that is not a precision.
    """
    names = [name.strip() for value in values for name in value.split(",") if name.strip()]
    for name in names:
        if name not in get_args(DtypeChoice):
            choices = ", ".join(get_args(DtypeChoice))
            raise ValueError(f"{name!r} is not a precision: choose from {choices}")
    return tuple(dtype for dtype in OWN_GRAPHS if dtype in names)


def as_found(
    names: GraphNames, rows: int | None, wanted: Sequence[Dtype], file: Path
) -> tuple[Graph, ...]:
    """Return the one graph of a model that was found quantized, and warn that its cost is unknown.

    Raises: ExportError if another precision is asked for.
    """
    others = [one for one in wanted if one != "int8"]
    if others:
        raise ExportError(
            f"--dtype {others[0]}: {file} is quantized to 8 bits: use --dtype int8 or auto"
        )
    logger.warning(
        "%s is quantized to 8 bits: what that costs is not known, since its original in float32 "
        "is not at hand; answers are compared with its own",
        file,
    )
    return (quantized(names, rows),)


def make(
    folder: Path,
    names: GraphNames,
    wanted: Sequence[Dtype],
    checkpoint: Checkpoint,
    fingerprint: str,
) -> tuple[Graph, ...]:
    """Make all graphs from the float32 one and the probes in the folder, and return them.

    Raises: ExportError if one cannot be made.
    """
    # onnx takes time to import, and is not needed if the model has been exported already.
    from export.precision import cpu, float16, int8, int16, trial

    first = exact(names)
    padding, probes = checkpoint.padding, Probes.read(folder / PROBES_FILE)
    source = trial.Model(folder, first, padding, checkpoint.task, probes)
    graphs = [first]
    if (fused := cpu.make(source)) is not None:
        graphs.append(fused)
    if "float16" in wanted:
        graphs += float16.make(source)
    if "int8" in wanted:
        lossy_graph = int8.quantize(folder, first, probes, padding)
        graphs.append(replace(lossy_graph, fingerprint=lossy(fingerprint, int8.SCHEME)))
    if (rounded := int16.make(source, fused or first)) is not None:
        graphs.append(rounded)
    return tuple(graphs)
