"""Pipeline: the steps from a model's name to its published folder."""

import logging
import shutil
import time
from pathlib import Path

from app.inference.manifest import PROBES_FILE, TOKENIZER_FILE, Source
from export import checkpoint as checkpoints
from export import precisions, probes, source, tokenizer_file, weight_files
from export.checkpoint import Checkpoint
from export.describe import Names, describe
from export.fingerprint import fingerprint
from export.prove import certify, quality
from export.publish import publish, staging
from export.request import Request

logger = logging.getLogger(__name__)

_TOOLS = ("torch", "transformers", "optimum", "optimum-onnx", "onnx", "onnxruntime", "tokenizers")
_STEPS = 6


def export(request: Request) -> Path:
    """Export one model and return its published folder.

    Raises: ExportError or OSError; nothing is published then, and nothing is left behind.
    """
    started = time.perf_counter()
    _announce(1, f"finding {request.model}")
    located = source.locate(request.model, request.revision)
    _announce(2, f"reading {located.folder}")
    checkpoint = checkpoints.read(located.folder, request.pooling)
    for warning in checkpoint.warnings:
        logger.warning("warning: %s", warning)
    tokenizer = checkpoint.folder / TOKENIZER_FILE
    digest = fingerprint(weight_files.of_encoder(checkpoint.folder), tokenizer, checkpoint)
    place = request.folder
    with staging(place.parent, place.name) as folder:
        names = _make_files(folder, checkpoint)
        graphs = precisions.make(folder, names, request.dtypes, checkpoint.padding, digest)
        manifest = describe(
            folder,
            Source(located.id, located.revision, checkpoint.architecture, checkpoint.model_type),
            checkpoint,
            graphs=graphs,
            fingerprint=digest,
            packages=_TOOLS,
        )
        _announce(5, "proving: the serving code replays the probes")
        certificates = certify(folder, manifest, "pytorch")
        size = sum(path.stat().st_size for path in folder.iterdir())
        _announce(6, f"publishing {place}")
        publish(folder, place)
    for line in quality(checkpoint.task, certificates):
        logger.info("%s", line)
    logger.info("%s: %.1f MB in %.1f s", place, size / 1e6, time.perf_counter() - started)
    return place


def _announce(step: int, sentence: str) -> None:
    logger.info("[%d/%d] %s", step, _STEPS, sentence)


def _make_files(folder: Path, checkpoint: Checkpoint) -> Names:
    """Write graph, weights, tokenizer and probes; the graph's inputs and outputs."""
    # torch takes seconds to import: what the files alone refuse is refused before.
    from export import convert, heads, reference, tensors

    convert.check_supported(checkpoint)
    texts = probes.for_task(checkpoint.task, checkpoint.max_input_length)
    _announce(3, f"running the original model over {len(texts)} probe texts")
    pooled = checkpoint.head.layers if checkpoint.head else ()
    weights = tensors.load((*pooled, *checkpoint.tokens.layers))
    reference.compute(checkpoint, texts, weights).write(folder / PROBES_FILE)
    _announce(4, f"converting {checkpoint.architecture} to ONNX")
    bare = folder / "bare"
    converted = convert.convert(checkpoint.folder, bare, checkpoint.task)
    names = heads.finish(
        converted, folder, checkpoint.task, checkpoint.head, weights, checkpoint.tokens
    )
    shutil.rmtree(bare)
    tokenizer_file.write(
        checkpoint.folder, folder / TOKENIZER_FILE, lower_case=checkpoint.lower_case
    )
    return names
