"""Describe: the manifest of a folder in which every other file is there."""

import importlib.metadata
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from app.model.digests import file_digest
from app.model.manifest import CHATTING, GRAPH_FILE, SCHEMA, Manifest
from app.model.names import PROVIDERS
from app.model.parts import Graph, GraphNames, Lexical, MultiVector, Source
from export.checkpoint.read import Checkpoint


def exact(names: GraphNames) -> Graph:
    """The float32 graph, which every provider runs."""
    inputs, outputs = names
    return Graph(GRAPH_FILE, "float32", PROVIDERS, inputs, outputs)


def quantized(names: GraphNames, rows: int | None) -> Graph:
    """The one graph of a model that was quantized before it came here; the CPU runs it."""
    inputs, outputs = names
    return Graph(GRAPH_FILE, "int8", ("cpu",), inputs, outputs, rows=rows)


def describe(
    folder: Path,
    source: Source,
    checkpoint: Checkpoint,
    *,
    graphs: Sequence[Graph],
    fingerprint: str,
    packages: Sequence[str],
) -> Manifest:
    """What the folder holds, not proved yet; `packages` are those that had a hand in it."""
    return Manifest(
        schema=SCHEMA if checkpoint.pair_text is None else CHATTING,
        source=source,
        fingerprint=fingerprint,
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
        graphs=tuple(graphs),
        files={path.name: file_digest(path) for path in sorted(folder.iterdir())},
        tools={name: importlib.metadata.version(name) for name in packages},
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        labels=checkpoint.labels,
        activation=checkpoint.activation,
        pair_text=checkpoint.pair_text,
        lexical=Lexical(checkpoint.tokens.ignored_ids) if checkpoint.tokens.lexical else None,
        multi_vector=(
            MultiVector(checkpoint.tokens.skipped_id) if checkpoint.tokens.multi_vector else None
        ),
    )
