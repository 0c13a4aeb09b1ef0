"""Pipeline: the steps from a model's name to its published folder."""

import logging
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from app.model.manifest import TOKENIZER_FILE
from app.model.parts import Certificate, GraphNames, Source
from export import reading
from export.checkpoint import routers, tokenizer_file
from export.checkpoint.read import Checkpoint
from export.cli import Request
from export.folder.describe import describe
from export.folder.fingerprint import fingerprint
from export.folder.prove import certify, quality
from export.folder.publish import check_place, publish, staging
from export.precision import precisions
from export.progress import announce
from export.routes import pipeline
from export.source import locate
from export.source.locate import Located
from export.weights import weight_files

if TYPE_CHECKING:
    from export.from_torch.originals import Made

logger = logging.getLogger(__name__)

_TOOLS = ("onnx", "onnxruntime", "tokenizers")


def export(request: Request) -> Path:
    """Export one model and return its published folder.

    Raises: ExportError or OSError; nothing is published then, and nothing is left behind.
    """
    started = time.perf_counter()
    check_place(request.folder.parent)
    announce(1, f"finding {request.model}")
    located = locate.locate(request.model, request.revision, code=request.trust_code)
    announce(2, f"reading {located.folder}")
    if (router := routers.read(located.folder)) is not None:
        return pipeline.export(request, located, router)
    with (
        reading.adapted(located, request) as located,
        reading.settled(located, request.pooling, trust_code=request.trust_code) as checkpoint,
    ):
        for warning in checkpoint.warnings:
            logger.warning("%s", warning)
        for note in checkpoint.notes:
            logger.info("%s", note)
        certificates, size = _publish(request, located, checkpoint)
        for line in quality(checkpoint.task, certificates):
            logger.info("%s", line)
    took = time.perf_counter() - started
    logger.info("%s: %.1f MB in %.1f s", request.folder, size / 1e6, took)
    return request.folder


def _publish(
    request: Request, located: Located, checkpoint: Checkpoint
) -> tuple[tuple[Certificate, ...], int]:
    """Make, prove and publish the folder of a checkpoint; its certificates and size in bytes."""
    place = request.folder
    weights = located.weights or weight_files.of_encoder(checkpoint.folder)
    with staging(place.parent, place.name) as folder:
        names, made, checkpoint = _make_files(folder, checkpoint, located, request)
        digest = fingerprint(weights, checkpoint.tokenizer, checkpoint, made.code)
        graphs = precisions.make(folder, names, request.dtypes, checkpoint, digest)
        manifest = describe(
            folder,
            Source(located.id, located.revision, checkpoint.architecture, checkpoint.model_type),
            checkpoint,
            graphs=graphs,
            fingerprint=digest,
            packages=_TOOLS,
        )
        manifest = replace(manifest, tools={**manifest.tools, **made.tools})
        announce(5, "proving: the serving code replays the probes")
        certificates = certify(folder, manifest, made.reference)
        size = sum(path.stat().st_size for path in folder.iterdir())
        announce(6, f"publishing {place}")
        publish(folder, place)
    return certificates, size


def _make_files(
    folder: Path, checkpoint: Checkpoint, located: Located, request: Request
) -> tuple[GraphNames, "Made", Checkpoint]:
    """Write graph, weights, tokenizer and probes.

    Returns the graph's inputs and outputs, what the bare graph was made with, and the checkpoint
    with what the original said of how it reads a pair.
    """
    # torch takes seconds to import: what the files alone refuse is refused before.
    from export.from_torch import originals
    from export.graph import heads
    from export.weights import tensors

    wanted = originals.Wanted(
        located.folder,
        checkpoint.choice,
        request.trust_code,
        checkpoint.tokenizer,
        located.id,
    )
    made = originals.make(wanted, folder)
    chat = made.chat
    checkpoint = checkpoint.reading(chat.pair_text, chat.answers)
    if chat.column is not None:
        names = heads.score(made.graph, folder, chat.column)
    else:
        names = heads.finish(
            made.graph,
            folder,
            checkpoint.task,
            checkpoint.head or checkpoint.splade,
            tensors.load(checkpoint.layers),
            checkpoint.tokens,
        )
    shutil.rmtree(made.graph.parent)
    tokenizer_file.write(
        checkpoint.tokenizer, folder / TOKENIZER_FILE, lower_case=checkpoint.lower_case
    )
    return names, made, checkpoint
