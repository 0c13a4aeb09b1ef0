"""Prove: let the serving code replay the probes in a process of its own, and judge the result."""

import json
import subprocess
import sys
from pathlib import Path

from app.inference.manifest import Certificate
from app.inference.proof import WORST_COSINE
from export.errors import ExportError

_ROOT = Path(__file__).resolve().parent.parent


def prove(folder: Path) -> Certificate:
    """Run `python -m app.prove` over a folder that is complete but for its certificate.

    Raises: ExportError when serving fails there or does not reproduce the reference.
    """
    child = subprocess.run(  # noqa: S603  # our own interpreter and module
        [sys.executable, "-m", "app.prove", str(folder.resolve()), "--provider", "cpu"],
        cwd=_ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if child.returncode != 0:
        lines = child.stderr.strip().splitlines() or [f"it exited with {child.returncode}"]
        raise ExportError(f"the serving code cannot serve the export: {lines[-1]}")
    certificate = Certificate(**json.loads(child.stdout))
    needed = WORST_COSINE[certificate.compute_dtype]
    if not certificate.worst_cosine >= needed:
        raise ExportError(
            f"the exported graph does not match the original model: worst cosine "
            f"{certificate.worst_cosine:.6f} over {certificate.probes} texts, needed "
            f"{needed}; nothing was published"
        )
    return certificate
