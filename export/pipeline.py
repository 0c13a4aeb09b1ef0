"""Pipeline: the steps from a model's name to its published folder."""

import importlib.metadata
import logging
import shutil
import time
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from app.inference.manifest import (
    PROBES_FILE,
    SCHEMA,
    TOKENIZER_FILE,
    Certificate,
    Graph,
    Manifest,
    Source,
    file_digest,
)
from export import checkpoint as checkpoints
from export import probes, source
from export.checkpoint import Checkpoint
from export.fingerprint import fingerprint
from export.prove import prove
from export.publish import publish, staging
from export.request import Request
from export.source import Located

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
    digest = fingerprint(located.folder, checkpoint)
    place = request.folder
    with staging(place.parent, place.name) as folder:
        graph = _make_files(folder, located, checkpoint)
        manifest = _manifest(folder, located, checkpoint, graph, digest)
        manifest.write(folder)
        _announce(5, "proving: the serving code replays the probes")
        certificate = prove(folder)
        _with_certificate(manifest, certificate).write(folder)
        size = sum(path.stat().st_size for path in folder.iterdir())
        _announce(6, f"publishing {place}")
        publish(folder, place)
    logger.info(
        "%s: worst cosine %.8f, mean %.8f, largest error %.1e over %d texts; %.1f MB in %.1f s",
        place,
        certificate.worst_cosine,
        certificate.mean_cosine,
        certificate.largest_error,
        certificate.probes,
        size / 1e6,
        time.perf_counter() - started,
    )
    return place


def _announce(step: int, sentence: str) -> None:
    logger.info("[%d/%d] %s", step, _STEPS, sentence)


def _make_files(folder: Path, located: Located, checkpoint: Checkpoint) -> Graph:
    """Write graph, weights, tokenizer and probes."""
    # torch takes seconds to import: what the files alone refuse is refused before.
    from export import convert, heads, reference

    convert.check_supported(checkpoint)
    texts = probes.texts(checkpoint.max_input_length)
    _announce(3, f"running the original model over {len(texts)} probe texts")
    reference.compute(located.folder, checkpoint, texts).write(folder / PROBES_FILE)
    _announce(4, f"converting {checkpoint.architecture} to ONNX")
    bare = folder / "bare"
    inputs, outputs = heads.graft(convert.convert(located.folder, bare), folder, checkpoint.pooling)
    shutil.rmtree(bare)
    shutil.copyfile(located.folder / TOKENIZER_FILE, folder / TOKENIZER_FILE)
    return Graph(
        file=heads.GRAPH_FILE,
        dtype="float32",
        providers=("cpu", "openvino", "cuda", "tensorrt"),
        inputs=inputs,
        outputs=outputs,
    )


def _manifest(
    folder: Path, located: Located, checkpoint: Checkpoint, graph: Graph, digest: str
) -> Manifest:
    return Manifest(
        schema=SCHEMA,
        source=Source(located.id, located.revision, checkpoint.architecture, checkpoint.model_type),
        fingerprint=digest,
        task="embedding",
        pooling=checkpoint.pooling,
        dimensions=checkpoint.dimensions,
        max_input_length=checkpoint.max_input_length,
        vocabulary_size=checkpoint.vocabulary_size,
        padding=checkpoint.padding,
        normalize=checkpoint.normalize,
        similarity=checkpoint.similarity,
        prompts=checkpoint.prompts,
        default_prompt_name=checkpoint.default_prompt_name,
        graphs=(graph,),
        files={path.name: file_digest(path) for path in sorted(folder.iterdir())},
        tools={name: importlib.metadata.version(name) for name in _TOOLS},
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _with_certificate(manifest: Manifest, certificate: Certificate) -> Manifest:
    return replace(manifest, certificates=(certificate,))
