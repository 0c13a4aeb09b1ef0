"""Check: prove an exported folder again, on this machine, from the probes that it holds.

It writes nothing, and needs only what a server needs.
"""

import argparse
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from app.model.lookup import model_ids, repository
from app.model.manifest import Manifest, ManifestError
from app.model.names import OWN_GRAPHS, Dtype, Task
from app.model.parts import Certificate
from app.proof import bounds
from export.errors import ExportError
from export.folder import prove

logger = logging.getLogger(__name__)

AUTO = "--dtype auto takes it"


@dataclass(frozen=True, slots=True)
class Checked:
    """A model to prove again: its folder, or the name that it was exported under."""

    model: str
    models_dir: Path
    revision: str | None = None


def parse(arguments: Sequence[str], environment: Mapping[str, str]) -> Checked:
    """Read the command line; the folder of models may come from the environment.

    Raises: SystemExit with status 2 for a usage error.
    """
    parser = argparse.ArgumentParser(prog="python -m export", allow_abbrev=False)
    parser.add_argument("--check", required=True, metavar="FOLDER", help="or a model's id")
    parser.add_argument("--revision", help="of an id")
    parser.add_argument("--models-dir", type=Path)
    found = parser.parse_args(arguments)
    models_dir = found.models_dir or Path(environment.get("MODELS_DIR") or "models")
    return Checked(found.check, models_dir, found.revision)


def check(wanted: Checked) -> None:
    """Log the progress, and a line for each provider and precision of this machine.

    Raises: ExportError if the folder is missing or damaged, or if answers are not as close to the
    original model's as the export promised.
    """
    places = model_ids.Places(wanted.models_dir)
    try:
        meant = model_ids.understand(wanted.model, wanted.revision, places)
    except model_ids.UnknownName as error:
        raise ExportError(str(error)) from None
    folder = repository.find(meant.model, meant.revision, wanted.models_dir)
    if folder is None:
        raise ExportError(
            f"{wanted.model} is not exported: neither it nor its place in {wanted.models_dir} "
            f"holds a manifest.json{model_ids.near(meant.model, places)}"
        )
    try:
        manifest = Manifest.read(folder)
    except ManifestError as error:
        raise ExportError(str(error)) from None
    measured = prove.replay(folder, logger.info)
    missed = sum(not _tell(manifest, one) for one in measured.certificates)
    for line in measured.left_out:
        logger.warning("%s", line)
    if missed:
        raise ExportError(f"{folder} does not give its original's answers here: export it again")


def _tell(manifest: Manifest, certificate: Certificate) -> bool:
    """Log how close one precision comes, and return whether that is as close as promised."""
    task, dtype = manifest.task, certificate.compute_dtype
    [line] = prove.quality(task, [certificate])
    if not _is_promised(manifest, dtype):
        fault = _why_left(manifest.task, certificate)
        verdict = "unused " if fault else "proved "
        logger.info("%s  %s (%s)", verdict, line, f"not taken by auto: {fault}" if fault else AUTO)
        return True
    proved = bounds.is_proved(task, dtype, certificate)
    needed = bounds.bound_text(task, dtype, certificate)
    stored = [one for one in manifest.certificates if one.compute_dtype == dtype]
    if dtype == "int8" and stored:
        proved = proved and bounds.is_as_certified(task, certificate, stored[0])
        needed = f"about as close as certified, {bounds.figure(task, stored[0])}"
    logger.info("%s  %s (needed: %s)", "proved " if proved else "MISSED ", line, needed)
    return proved


def _is_promised(manifest: Manifest, dtype: Dtype) -> bool:
    """Check whether the export vouches for a precision: it is exact, or was asked for.

    Others come along, or a provider computes the exact graph in them: a server may reject them.
    """
    if dtype == "float32":
        return True
    return dtype in OWN_GRAPHS and any(graph.dtype == dtype for graph in manifest.graphs)


def _why_left(task: Task, measured: Certificate) -> str | None:
    """Say why a server does not choose a precision by itself, or return None if it does."""
    if bounds.yields_logits(task):
        return "scores are computed in float32"
    if not bounds.is_proved(task, measured.compute_dtype, measured):
        needed = bounds.bound_text(task, measured.compute_dtype, measured)
        return f"{bounds.figure(task, measured)}, needed {needed}"
    return bounds.shortfall(measured.compute_dtype, measured)
