"""Stored: the probes of a folder, if they are of the model that its manifest describes."""

from pathlib import Path

from app.model.manifest import PROBES_FILE, Manifest
from app.proof.output_types import require_samples
from app.proof.probes import Probes, require_width


def read_probes(folder: Path, manifest: Manifest) -> Probes:
    """Read the probes of a folder.

    Raises: ProbesError if they cannot be read, or are not those of this model.
    """
    path = folder / PROBES_FILE
    probes = Probes.read(path, manifest.token_outputs)
    require_width(probes, manifest.dimensions, path)
    require_samples(manifest, probes)
    return probes
