"""Describe: the manifest of a folder in which every other file is there."""

import importlib.metadata
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from app.model.digests import file_digest
from app.model.manifest import CHATTING, GRAPH_FILE, ROUTED, SCHEMA, Manifest
from app.model.names import PROVIDERS, Reference, TokenVectors
from app.model.parts import Graph, GraphNames, Lexical, MultiVector, Route, Source
from export.checkpoint.read import Checkpoint

_TOOLS = ("onnx", "onnxruntime", "tokenizers")  # that have a hand in every folder


@dataclass(frozen=True, slots=True)
class Made:
    """What was made of a checkpoint, whose files are written: graphs, tokenizer and probes."""

    id: str
    revision: str | None
    checkpoint: Checkpoint
    graphs: tuple[Graph, ...]
    fingerprint: str
    reference: Reference  # whose answers the probes hold
    tools: Mapping[str, str] = field(default_factory=dict)  # versions of others than those of all
    left_out: tuple[TokenVectors, ...] = ()  # that the model has and the graphs have not
    routes: tuple[Route, ...] = ()
    default_route: str | None = None


def exact(names: GraphNames) -> Graph:
    """The float32 graph, which every provider runs."""
    inputs, outputs = names
    return Graph(GRAPH_FILE, "float32", PROVIDERS, inputs, outputs)


def quantized(names: GraphNames, rows: int | None) -> Graph:
    """The one graph of a model that was quantized before it came here; the CPU runs it."""
    inputs, outputs = names
    return Graph(GRAPH_FILE, "int8", ("cpu",), inputs, outputs, rows=rows)


def describe(folder: Path, made: Made) -> Manifest:
    """Say what the folder holds, not proved yet."""
    checkpoint = made.checkpoint
    return Manifest(
        schema=_schema(made),
        source=Source(made.id, made.revision, checkpoint.architecture, checkpoint.model_type),
        fingerprint=made.fingerprint,
        task=checkpoint.task,
        pooling=checkpoint.pooling,
        pooling_source=checkpoint.pooling_source,
        dimensions=checkpoint.dimensions,
        max_input_length=checkpoint.max_input_length,
        vocabulary_size=checkpoint.vocabulary_size,
        padding=checkpoint.padding,
        truncation_side=checkpoint.truncation_side,
        normalize=checkpoint.normalize,
        similarity=checkpoint.similarity,
        prompts=checkpoint.prompts,
        default_prompt_name=checkpoint.default_prompt_name,
        graphs=made.graphs,
        files={path.name: file_digest(path) for path in sorted(folder.iterdir())},
        tools={name: importlib.metadata.version(name) for name in _TOOLS} | dict(made.tools),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        labels=checkpoint.labels,
        activation=checkpoint.activation,
        pair_text=checkpoint.pair_text,
        lexical=Lexical(checkpoint.tokens.ignored_ids) if checkpoint.tokens.lexical else None,
        multi_vector=(
            MultiVector(checkpoint.tokens.skipped_id) if checkpoint.tokens.multi_vector else None
        ),
        left_out=made.left_out,
        routes=made.routes,
        default_route=made.default_route,
    )


def _schema(made: Made) -> int:
    """The oldest that says all of it, so that older servers read what they understand."""
    if made.routes:
        return ROUTED
    return SCHEMA if made.checkpoint.pair_text is None else CHATTING
