"""Certificates as an export might have written them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from app.inference.providers import machine
from app.model.manifest import Manifest
from app.model.parts import Certificate

_EXACT = Certificate(
    graph="model.onnx",
    provider="cpu",
    compute_dtype="float32",
    machine="a processor",
    reference="pytorch",
    probes=507,
    worst_cosine=1.0,
    mean_cosine=1.0,
    largest_error=0.0,
    created="2026-01-01T00:00:00+00:00",
)


def certificate(**changes: Any) -> Certificate:
    """Return the certificate of an exact graph, with some fields changed."""
    return replace(_EXACT, **changes)


def certify(folder: Path, **changes: Any) -> None:
    """Give the folder a certificate for the CPU provider on this machine."""
    manifest = Manifest.read(folder)
    fitting = certificate(graph=manifest.graphs[0].file, machine=machine.describe(), probes=7)
    replace(manifest, certificates=(replace(fitting, **changes),)).write(folder)
