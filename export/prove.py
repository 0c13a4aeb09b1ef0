"""Prove: let the serving code replay the probes in a process of its own, and judge the result."""

import json
import subprocess
import sys
from pathlib import Path

from app.inference import proof
from app.inference.manifest import Certificate, Manifest
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
    task = Manifest.read(folder).task
    if not proof.is_proved(task, certificate.compute_dtype, certificate):
        raise ExportError(
            f"the exported graph does not match the original model: "
            f"{proof.figure(task, certificate)} over {certificate.probes} texts, needed "
            f"{proof.bound(task, certificate.compute_dtype)}; nothing was published"
        )
    return certificate
