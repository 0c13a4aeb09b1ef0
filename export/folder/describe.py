"""Describe: the manifest of a folder that has all its other files."""

import importlib.metadata
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from app.model.digests import file_digest
from app.model.manifest import CHATTING, GRAPH_FILE, IN_INT16, ROUTED, SCHEMA, Manifest
from app.model.names import PROVIDERS, Reference, TokenVectors
from app.model.parts import Graph, GraphNames, Lexical, MultiVector, Route, Source
from export.checkpoint.read import Checkpoint
from export.folder import recipe

_TOOLS = ("onnx", "onnxruntime", "tokenizers")  # used for every folder


@dataclass(frozen=True, slots=True)
class Made:
    """The files made from a checkpoint: graphs, tokenizer and probes, in a folder."""

    id: str
    revision: str | None
    checkpoint: Checkpoint
    graphs: tuple[Graph, ...]
    fingerprint: str
    reference: Reference  # whose answers the probes hold
    tools: Mapping[str, str] = field(default_factory=dict)  # versions, besides those of `_TOOLS`
    left_out: tuple[TokenVectors, ...] = ()  # that the model has and the graphs lack
    routes: tuple[Route, ...] = ()
    default_route: str | None = None


def exact(names: GraphNames) -> Graph:
    """Describe the float32 graph, which every provider runs."""
    inputs, outputs = names
    return Graph(GRAPH_FILE, "float32", PROVIDERS, inputs, outputs)


def quantized(names: GraphNames, rows: int | None) -> Graph:
    """Describe the one graph of a model that was found quantized, which the CPU runs."""
    inputs, outputs = names
    return Graph(GRAPH_FILE, "int8", ("cpu",), inputs, outputs, rows=rows)


def describe(folder: Path, made: Made) -> Manifest:
    """Return the manifest of what the folder holds, not proved yet."""
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
        tools=_versions() | dict(made.tools),
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


def _versions() -> dict[str, str]:
    found = {name: importlib.metadata.version(name) for name in _TOOLS}
    return {recipe.NAME: str(recipe.RECIPE), **found}


def _schema(made: Made) -> int:
    """Return the oldest schema that can say all of it, so that older servers can read it."""
    if any(graph.dtype == "int16" for graph in made.graphs):
        return IN_INT16
    if made.routes:
        return ROUTED
    return SCHEMA if made.checkpoint.pair_text is None else CHATTING
