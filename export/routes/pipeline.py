"""Routed pipeline: the steps from a checkpoint with routes, or a static one, to its folder."""

import logging
import time
from dataclasses import replace
from pathlib import Path

from app.model.manifest import ROUTED
from app.model.parts import Source
from export.checkpoint.routers import Router
from export.cli import Request
from export.errors import ExportError
from export.folder.describe import describe
from export.folder.prove import certify, quality
from export.folder.publish import publish, staging
from export.progress import announce
from export.source.locate import Located

logger = logging.getLogger(__name__)

_TOOLS = (
    "onnx",
    "onnxruntime",
    "tokenizers",
    "torch",
    "transformers",
    "sentence-transformers",
)


def export(request: Request, located: Located, router: Router) -> Path:
    """Export a checkpoint that was found and return its published folder.

    Raises: ExportError or OSError; nothing is published then, and nothing is left behind.
    """
    started = time.perf_counter()
    _refuse_options(request)
    # torch takes seconds to import: what the options alone refuse is refused before.
    from export.routes import routed

    place = request.folder
    with staging(place.parent, place.name) as folder:
        made = routed.make(router, located.folder, folder)
        found = made.checkpoint
        manifest = describe(
            folder,
            Source(located.id, located.revision, found.architecture, found.model_type),
            found,
            graphs=made.graphs,
            fingerprint=made.fingerprint,
            packages=_TOOLS,
        )
        manifest = replace(
            manifest, schema=ROUTED, routes=made.routes, default_route=router.default
        )
        announce(5, "proving: the serving code replays the probes")
        certificates = certify(folder, manifest, "sentence-transformers")
        size = sum(path.stat().st_size for path in folder.iterdir())
        announce(6, f"publishing {place}")
        publish(folder, place)
    for line in quality(found.task, certificates):
        logger.info("%s", line)
    logger.info("%s: %.1f MB in %.1f s", place, size / 1e6, time.perf_counter() - started)
    return place


def _refuse_options(request: Request) -> None:
    """Refuse what a model with routes, or a static one, is not made in."""
    if request.pooling is not None:
        raise ExportError(
            f"--pooling {request.pooling} is not possible: the model's modules say how each input "
            "is pooled"
        )
    if request.dtypes:
        raise ExportError(
            f"--dtype {request.dtypes[0]} is not possible for a static model, or one that embeds "
            "queries and documents in different ways: only float32 is"
        )
