"""Pipeline: the steps from a model's name to its published folder, the same for every source.

A source writes the files of a folder and describes them (`Made`); the pipeline does the rest.
"""

import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path

from app.model.lookup import repository
from export import output_types, reading
from export.checkpoint import routers
from export.cli import Request
from export.errors import ExportError
from export.folder.describe import Made, describe
from export.folder.prove import certify, quality
from export.folder.publish import check_place, publish, staging
from export.from_onnx import preparation
from export.from_onnx.preparation import Preparation
from export.progress import Steps
from export.source import locate

logger = logging.getLogger(__name__)

# How many steps an export counts, by what it is made from; the last two prove and publish.
_OF_WEIGHTS = 6
_OF_ONNX = 5


def export(request: Request) -> Path:
    """Export one model from its original weights, and return its published folder.

    Raises: ExportError or OSError; nothing is published then, and nothing is left behind.
    """
    check_place(request.folder.parent)
    steps = Steps(_OF_WEIGHTS)
    steps.begin(f"finding {request.model}")
    located = locate.locate(request.model, request.revision, code=request.trust_code)
    steps.begin(f"reading {located.folder}")
    # torch takes seconds to import, so a model that files or options rule out is refused first.
    if (router := routers.read(located.folder)) is not None:
        _refuse_options(request)
        from export.routes import routed

        return _publish(request.folder, steps, partial(routed.make, router, located, steps))
    with reading.read(located, request) as (located, checkpoint):
        for warning in checkpoint.warnings:
            logger.warning("%s", warning)
        for note in checkpoint.notes:
            logger.info("%s", note)
        from export.from_torch import files
        from export.from_torch.originals import Wanted

        wanted = Wanted(located, checkpoint, request.trust_code)
        return _publish(request.folder, steps, partial(files.make, wanted, request.dtypes, steps))


def prepare(wanted: Preparation) -> Path:
    """Export a snapshot's own ONNX graph, and return its published folder.

    A folder that another process has published in the meantime is kept.

    Raises: ExportError or OSError; nothing is published then, and nothing is left behind.
    """
    steps = Steps(_OF_ONNX)
    make = partial(preparation.make, wanted, steps)
    return _publish(wanted.folder, steps, make, keep=True)


def _publish(
    place: Path, steps: Steps, make: Callable[[Path], Made], *, keep: bool = False
) -> Path:
    """Make, describe, prove and publish a folder; replace an existing one unless `keep`."""
    with staging(place.parent, place.name) as folder:
        if keep and repository.is_complete(place):
            logger.info("%s is there already", place)
            return place
        made = make(folder)
        manifest = output_types.measured(describe(folder, made), folder)
        steps.begin("proving: the serving code replays the probes")
        certificates = certify(folder, manifest, made.reference)
        size = sum(path.stat().st_size for path in folder.iterdir())
        steps.begin(f"publishing {place}")
        publish(folder, place)
    source = " to the graph as it was found" if made.reference.startswith("onnx-") else ""
    for line in quality(made.checkpoint.task, certificates):
        logger.info("%s%s", line, source)
    logger.info("%s: %.1f MB in %.1f s", place, size / 1e6, steps.seconds)
    return place


def _refuse_options(request: Request) -> None:
    """Raise ExportError for an option that models with routes, and static ones, cannot have."""
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
