"""From ONNX: an exported folder made from a snapshot's own ONNX graph, without torch.

The server runs this as `python -m export --from-onnx SNAPSHOT`. The proof compares with the graph
as it was found: it does not show that the graph itself is right.
"""

import argparse
import logging
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

from app.model.lookup import hub_cache, repository
from app.model.manifest import PROBES_FILE, TOKENIZER_FILE
from app.model.names import Dtype, DtypeChoice, PoolingChoice, TokenVectors
from app.model.parts import GraphNames
from export import probe_texts
from export.checkpoint import causal, routers, tokenizer_file
from export.checkpoint import read as checkpoints
from export.checkpoint.kinds import CHOICES, chosen
from export.checkpoint.read import Checkpoint
from export.config.layers import TokenHeads, Weights
from export.errors import ExportError
from export.folder.describe import Made
from export.folder.fingerprint import fingerprint
from export.from_onnx import beside_tokenizer
from export.precision import precisions
from export.progress import Steps
from export.weights import safetensors_file

logger = logging.getLogger(__name__)

_SCRATCH = "source"  # removed before the folder is described


@dataclass(frozen=True, slots=True)
class Preparation:
    """One snapshot to prepare; `pooling` overrides what it says."""

    source: Path
    models_dir: Path
    name: str  # of the folder in `models_dir`
    id: str  # what the manifest calls the model
    pooling: PoolingChoice | None = None
    dtypes: tuple[Dtype, ...] = ()  # that get a graph beside the float32 one
    onnx_file: str | None = None  # another graph than the float32 one

    @property
    def folder(self) -> Path:
        """The folder that the exported model is published in."""
        return self.models_dir / self.name


def parse(arguments: Sequence[str]) -> Preparation:
    """Read the command line; environment variables are not read.

    Raises: SystemExit with status 2 for a usage error.
    """
    parser = argparse.ArgumentParser(prog="python -m export", allow_abbrev=False)
    parser.add_argument("--from-onnx", type=Path, required=True, metavar="FOLDER", dest="source")
    parser.add_argument("--models-dir", type=Path, default=Path("models"))
    parser.add_argument("--id", help="what to call the model (default: the folder's name)")
    parser.add_argument("--name", help="of the folder in models (default: made from the id)")
    parser.add_argument("--dtype", choices=get_args(DtypeChoice))
    parser.add_argument("--onnx-file", help="another graph than model.onnx or onnx/model.onnx")
    parser.add_argument("--pooling", choices=CHOICES, metavar=f"{{{','.join(CHOICES)}}}")
    found = parser.parse_args(arguments)
    id_ = found.id or repository.source_id(str(found.source))
    name = found.name or repository.folder_name(id_)
    dtypes = precisions.read([found.dtype or ""])
    pooling, onnx_file = chosen(found.pooling), found.onnx_file
    return Preparation(found.source, found.models_dir, name, id_, pooling, dtypes, onnx_file)


def make(wanted: Preparation, steps: Steps, folder: Path) -> Made:
    """Write graphs, weights, tokenizer and probes to `folder`.

    Raises: ExportError naming what cannot be prepared.
    """
    steps.begin(f"reading {wanted.source}")
    graph_file = _graph_file(wanted)
    if routers.read(wanted.source) is not None:
        raise ExportError(
            "the model embeds queries and documents in different ways, or is static: export it "
            "from its original weights"
        )
    (folder / _SCRATCH).mkdir()
    checkpoint = _read(wanted, folder / _SCRATCH)
    for warning in checkpoint.warnings:
        logger.warning("%s", warning)
    _refuse_what_needs_more(checkpoint)
    left_out = _token_vectors(checkpoint.tokens)
    checkpoint = replace(checkpoint, tokens=TokenHeads())
    written = _write(folder, wanted, graph_file, checkpoint, steps)
    checkpoint = written.checkpoint
    weights = hub_cache.graph_files(graph_file)
    digest = fingerprint(weights, checkpoint.folder / TOKENIZER_FILE, checkpoint)
    if written.quantized:
        graphs = precisions.as_found(written.names, written.rows, wanted.dtypes, graph_file)
    else:
        graphs = precisions.make(folder, written.names, wanted.dtypes, checkpoint, digest)
    return Made(
        wanted.id,
        _commit(wanted.source),
        checkpoint,
        graphs=graphs,
        fingerprint=digest,
        reference="onnx-int8" if written.quantized else "onnx-fp32",
        left_out=left_out,
    )


def _read(wanted: Preparation, scratch: Path) -> Checkpoint:
    """Read the checkpoint, with a tokenizer file of our own if settings beside it change it."""
    tokenizer = scratch / TOKENIZER_FILE
    if (wanted.source / TOKENIZER_FILE).is_file():
        beside_tokenizer.settle(wanted.source, tokenizer)
    return checkpoints.read(
        wanted.source,
        wanted.pooling,
        hub_cache.hub_id(wanted.source) or wanted.id,
        may_be_silent=True,
        tokenizer=tokenizer if tokenizer.is_file() else None,
    )


def _graph_file(wanted: Preparation) -> Path:
    found = hub_cache.graph_file(wanted.source, wanted.onnx_file)
    if found is None:
        names = (one.relative_to(wanted.source).as_posix() for one in wanted.source.rglob("*"))
        remedy = f"run: make export MODEL_ID={wanted.id}"
        raise ExportError(
            f"{wanted.source} {hub_cache.without_graph(names, remedy, wanted.onnx_file)}"
        )
    return found


def _refuse_what_needs_more(checkpoint: Checkpoint) -> None:
    """Raise ExportError for a model that needs PyTorch or transformers, which are not used here."""
    if not checkpoint.tokenizer.is_file():
        raise ExportError(
            f"{checkpoint.folder} has no {TOKENIZER_FILE}, which transformers makes of other "
            "files, and is not here to do: export the model from its original weights (make export)"
        )
    if checkpoint.causal is not None:
        raise ExportError(
            "the model is a reranker that scores a pair by its next token: export it from its "
            "original weights (make export)"
        )
    if checkpoint.task == "reranker" and causal.carries_pairs(checkpoint.folder):
        raise ExportError(
            "the model reads a query and a document through a chat template, which takes "
            "transformers to render: export it from its original weights (make export)"
        )
    if checkpoint.task == "multi_vector":
        raise ExportError(
            "the model has a vector for each token: export it from its original weights"
        )


def _token_vectors(heads: TokenHeads) -> tuple[TokenVectors, ...]:
    """Return the token outputs that are left out, since only PyTorch reads their files safely."""
    sparse: tuple[TokenVectors, ...] = ("sparse",) if heads.lexical else ()
    return (*sparse, "multi_vector") if heads.multi_vector else sparse


@dataclass(frozen=True, slots=True)
class _Written:
    """The facts of a graph that was written."""

    names: GraphNames
    checkpoint: Checkpoint  # pooled as the graph shows
    quantized: bool
    rows: int | None  # the most in a run


def _write(
    folder: Path, wanted: Preparation, graph_file: Path, checkpoint: Checkpoint, steps: Steps
) -> _Written:
    """Write graph, weights, tokenizer and probes."""
    # Imported after the checks above, which need no onnx.
    try:
        from export.from_onnx import graph, graph_answer, reference
        from export.graph import heads
    except ModuleNotFoundError as error:
        raise ExportError(
            f"{error}: to prepare a model from ONNX install the extra `prepare`, or export it "
            "elsewhere"
        ) from None
    scratch = folder / _SCRATCH
    served = folder / TOKENIZER_FILE
    tokenizer_file.write(checkpoint.tokenizer, served, lower_case=checkpoint.lower_case)
    found = graph.open_graph(graph_file, scratch, checkpoint.task)
    weights = _weights(checkpoint, needed=found.answer is None)
    # A server is waiting to start: it proves a lower precision itself, over fewer probes.
    texts = probe_texts.for_task(checkpoint.task, checkpoint.max_input_length, prose=0)
    steps.begin(f"running {graph_file} over {len(texts)} probe texts")
    checkpoint = graph_answer.settle(wanted.source, served, found, checkpoint, texts, weights)
    head = checkpoint.head
    for note in checkpoint.notes:
        logger.info("%s", note)
    answers = reference.compute(served, found, checkpoint, texts, weights)
    answers.write(folder / PROBES_FILE)
    steps.begin("adding the outputs that are served")
    bare = scratch / "bare.onnx"
    answer_width = head.graph_width if head else None
    graph.bare(found, checkpoint.encoder_width, bare, answer_width)
    names = heads.finish(bare, folder, checkpoint.task, head or checkpoint.splade, weights)
    shutil.rmtree(scratch)
    return _Written(names, checkpoint, found.quantized, found.rows)


def _weights(checkpoint: Checkpoint, *, needed: bool) -> Weights:
    """Load the weights of the layers behind the encoder; none if unreadable and not `needed`."""
    try:
        return safetensors_file.load(checkpoint.layers)
    except ExportError as error:
        if needed:
            raise
        logger.info("the graph's own vectors are looked at alone: %s", error)
        return {}


def _commit(source: Path) -> str | None:
    """Return the commit of a snapshot in a Hub cache; None for any other folder."""
    folder = source.resolve()
    return folder.name if folder.parent.name == "snapshots" else None
