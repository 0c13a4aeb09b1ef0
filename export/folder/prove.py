"""Prove: a replay of the probes by the serving code, in its own process, and the verdict on it."""

import json
import logging
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from app.model.manifest import Manifest
from app.model.names import Reference, Task
from app.model.parts import Certificate
from app.model.typed_json import build
from app.proof import bounds
from export import child
from export.errors import ExportError
from export.folder import card
from export.progress import WARNING

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Replayed:
    """The measurements of the serving code on this machine, and what it left out."""

    certificates: tuple[Certificate, ...]  # the first is the CPU's, in float32
    left_out: tuple[str, ...]  # providers that are here but do not work, and why


def certify(folder: Path, manifest: Manifest, reference: Reference) -> tuple[Certificate, ...]:
    """Prove a folder that lacks only its manifest and README, and write both.

    Returns a certificate for every provider and precision of this machine.

    Raises: ExportError if serving fails, or does not reproduce the reference.
    """
    manifest.write(folder)
    measured = replay(folder, logger.info)
    for line in measured.left_out:
        logger.warning("%s", line)
    certificates = tuple(replace(one, reference=reference) for one in measured.certificates)
    _require_equal(manifest.task, certificates)
    proved = replace(manifest, certificates=certificates)
    proved.write(folder)
    card.write(folder, proved)
    return certificates


def replay(folder: Path, tell: Callable[[str], None]) -> Replayed:
    """Run `python -m app.prove` over a folder; the environment needs what a server needs.

    Lines about its progress are passed to `tell` as they come.

    Raises: ExportError if serving fails.
    """
    left_out: list[str] = []

    def sort(line: str) -> None:
        if line.startswith(WARNING):
            left_out.append(line.removeprefix(WARNING))
        else:
            tell(line)

    command = [sys.executable, "-m", "app.prove", str(folder.resolve())]
    ended = child.run(command, sort, catch=True)
    if ended.fault is not None:
        raise ExportError(f"the serving code cannot serve the export: {ended.fault}")
    certificates = tuple(build(Certificate, one, "") for one in json.loads(ended.output))
    return Replayed(certificates, tuple(left_out))


def quality(task: Task, certificates: Sequence[Certificate]) -> Iterator[str]:
    """Yield a line for each certificate, for the operator."""
    several = Counter((one.provider, one.compute_dtype) for one in certificates)
    for one in certificates:
        if one.compute_dtype == "int8":
            line = f"{one.provider} in int8: {bounds.cost_text(task, one)}"
        else:
            line = f"{one.provider} in {one.compute_dtype}: {bounds.figure(task, one)}"
            if one.neighbour_overlap is not None:
                line += f", overlap of nearest neighbours {one.neighbour_overlap:.4f}"
        by = f", by {one.graph}" if several[one.provider, one.compute_dtype] > 1 else ""
        yield f"{line}, over {one.probes} texts{by}"


def _require_equal(task: Task, certificates: Sequence[Certificate]) -> None:
    """Raise ExportError unless every graph is within its bounds on the CPU."""
    for one in certificates:
        as_found = one.reference == "onnx-int8"  # its own reference: nothing was rounded here
        if one.provider != "cpu" or bounds.is_proved(task, one.compute_dtype, one):
            continue
        lossy = one.compute_dtype != "float32" and not as_found
        remedy = f"; export the model without {one.compute_dtype}" if lossy else ""
        needed = bounds.bound_text(task, one.compute_dtype, one)
        raise ExportError(
            f"the exported graph does not match the original model: "
            f"{bounds.figure(task, one)} over {one.probes} texts in {one.compute_dtype}, needed "
            f"{needed}; nothing was published{remedy}"
        )
