"""Manifest: what an exported model folder declares. The export writes it, the server reads it.

Only the standard library is needed here, so that the export can share this one definition.
"""

import json
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Self

from app.model import untrusted
from app.model.digests import fault_of_files, is_as_signed, signed
from app.model.names import (
    GRAPH_POOLING,
    LEXICAL_WEIGHTS,
    MULTI_VECTOR_EMBEDDING,
    POOLING_MASK,
    TASK_OUTPUTS,
    Activation,
    Dtype,
    PoolingMode,
    Provider,
    Side,
    Similarity,
    Task,
    TokenVectors,
    usual_activation,
)
from app.model.pair_text import PairText
from app.model.parts import (
    Certificate,
    Graph,
    Lexical,
    MultiVector,
    OutputCost,
    Padding,
    Ranges,
    Route,
    Source,
)
from app.model.typed_json import Misfit, build

SCHEMA = 1
ROUTED = 2  # schema of folders with routes, which earlier servers must not read
CHATTING = 3  # the same for folders whose pairs of texts become one text
IN_INT16 = 4  # and for folders with a graph in int16, which may be of either kind too
_SCHEMAS = (SCHEMA, ROUTED, CHATTING, IN_INT16)
LARGEST = 2**31 - 1  # the largest number that a manifest may hold
FILE_NAME = "manifest.json"
TOKENIZER_FILE = "tokenizer.json"
GRAPH_FILE = "model.onnx"
PROBES_FILE = "probes.npz"


class ManifestError(Exception):
    """A folder is not a complete, unchanged exported model; the message names the file."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """Everything the server needs to know about an exported model."""

    schema: int
    source: Source
    fingerprint: str  # of the vector space: weights, tokenizer, pooling, prompts, maximum length
    task: Task
    # Of embedding models: a PoolingMode, several joined by "+", or GRAPH_POOLING.
    pooling: str | None
    dimensions: int
    max_input_length: int  # tokens, special tokens included
    vocabulary_size: int  # rows of the embedding table: every id must be smaller
    padding: Padding
    normalize: bool  # whether the checkpoint ends in a Normalize module
    similarity: Similarity
    prompts: dict[str, str]
    default_prompt_name: str | None
    graphs: tuple[Graph, ...]
    files: dict[str, str]  # relative path → SHA-256, for every file that the server opens
    tools: dict[str, str]  # versions that made the folder
    created: str  # ISO 8601, UTC
    labels: tuple[str, ...] = ()  # of classifiers and rerankers, by position in the logits
    certificates: tuple[Certificate, ...] = ()
    # Outputs for single tokens, beside or instead of one vector for the whole input.
    lexical: Lexical | None = None
    multi_vector: MultiVector | None = None
    left_out: tuple[TokenVectors, ...] = ()  # kinds that its source gives, and this folder does not
    truncation_side: Side = "right"  # where an input is cut unless a request says otherwise
    pooling_source: str | None = None  # which file says so; missing in older folders
    # Of classifiers and rerankers; missing in older folders.
    activation: Activation | None = None
    routes: tuple[Route, ...] = ()  # empty: all inputs take the same way
    default_route: str | None = None  # a route's name; None: every request has to choose
    pair_text: PairText | None = None  # of rerankers that read a pair of texts as one
    # Of dense vectors, for int8, and what each output type costs; missing in older folders.
    ranges: Ranges | None = None
    output_types: tuple[OutputCost, ...] = ()

    @property
    def scored_by(self) -> Activation:
        """The function from logits to scores: as recorded, or TEI's choice for that many labels."""
        return self.activation or usual_activation(len(self.labels))

    @property
    def token_outputs(self) -> tuple[str, ...]:
        """The graph's outputs for single tokens, which have to be proved."""
        lexical = (LEXICAL_WEIGHTS,) if self.lexical else ()
        return (*lexical, *((MULTI_VECTOR_EMBEDDING,) if self.multi_vector else ()))

    @property
    def default_prompt(self) -> str | None:
        """The prompt of inputs that name none, or None."""
        name = self.default_prompt_name
        return None if name is None else self.prompts[name] or None

    @property
    def leaves_out_prompts(self) -> bool:
        """True if the tokens of a prompt are attended to, but not pooled."""
        return any(POOLING_MASK in graph.inputs for graph in self.graphs)

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read and check `folder/manifest.json`, without opening the files it names.

        Raises: ManifestError for a missing, malformed or newer manifest.
        """
        path = folder / FILE_NAME
        try:
            document = untrusted.read_json(path)
        except FileNotFoundError:
            raise ManifestError(f"{path} does not exist: not an exported model folder") from None
        except (OSError, ValueError) as error:
            raise ManifestError(f"{path} cannot be read: {error}") from None
        if not isinstance(document, dict) or document.get("schema") not in _SCHEMAS:
            found = document.get("schema") if isinstance(document, dict) else None
            raise ManifestError(
                f"{path} has schema {found!r}, this version reads {SCHEMA} to {IN_INT16}: export "
                "the model again"
            )
        try:
            manifest = build(cls, document, "")
            assert isinstance(manifest, cls)
            _check_pooling(manifest.pooling)
            _check_created(manifest.created)
            _check_numbers(manifest)
            _check_routes(manifest)
            _check_defaults(manifest)
        except Misfit as error:
            raise ManifestError(f"{path}: {error}") from None
        _check_paths(manifest, path)
        if not is_as_signed(document):  # those of old folders were not signed
            raise ManifestError(f"{path} is not as it was exported: export the model again")
        # A byte that was changed is named as such rather than for what it would mean.
        if manifest.ranges and (fault := manifest.ranges.fault(manifest.dimensions)) is not None:
            raise ManifestError(f"{path}: ranges.{fault}")
        return manifest

    def graph_for(self, provider: Provider, dtype: Dtype, *, packed: bool = False) -> Graph | None:
        """Return the graph of a precision that a provider computes: fused, else the smallest."""
        fitting = [
            one
            for one in self.graphs
            if provider in one.providers
            and one.dtype == dtype
            and (one.attention == "packed") == packed
        ]
        order = [(one.attention == "plain", len(one.outputs)) for one in fitting]
        return fitting[order.index(min(order))] if fitting else None

    def yielding(self, output: str) -> Self:
        """Return the same model with only those of its graphs that yield an output."""
        return replace(self, graphs=tuple(one for one in self.graphs if output in one.outputs))

    def write(self, folder: Path) -> None:
        """Write `folder/manifest.json`."""
        text = json.dumps(signed(asdict(self)), indent=2, ensure_ascii=False)
        (folder / FILE_NAME).write_text(text + "\n", encoding="utf-8")

    def verify_files(self, folder: Path) -> None:
        """Compare every file's SHA-256 with the recorded one.

        Raises: ManifestError naming the first file that is missing or was changed.
        """
        if (fault := fault_of_files(folder, self.files)) is not None:
            raise ManifestError(fault)


def _check_paths(manifest: Manifest, path: Path) -> None:
    for name in manifest.files:
        parts = PurePosixPath(name).parts
        if not parts or ".." in parts or PurePosixPath(name).is_absolute():
            raise ManifestError(f"{path}: files: {name!r} leads out of the folder")
    beside = (route.graph.file for route in manifest.routes if route.graph is not None)
    graphs = (*(graph.file for graph in manifest.graphs), *beside)
    for name in (TOKENIZER_FILE, PROBES_FILE, *graphs):
        if name not in manifest.files:
            raise ManifestError(f"{path}: files: {name!r} is missing")


def _check_created(created: str) -> None:
    try:
        datetime.fromisoformat(created)
    except ValueError:
        raise Misfit(f"created: {created!r} is not a date and a time") from None


def _check_numbers(manifest: Manifest) -> None:
    """Refuse numbers that no model has, or that the tokenizer or an array cannot hold."""
    padding, vocabulary = manifest.padding, manifest.vocabulary_size
    bounds = {
        "dimensions": (manifest.dimensions, 1, LARGEST),
        "max_input_length": (manifest.max_input_length, 1, LARGEST),
        "vocabulary_size": (vocabulary, 1, LARGEST),
        "padding.id": (padding.id, 0, vocabulary - 1),
        "padding.type_id": (padding.type_id, 0, vocabulary - 1),
    }
    for route in manifest.routes:
        bounds[f"max_input_length of {route.name}"] = (route.max_input_length, 1, LARGEST)
    for token in manifest.pair_text.ending if manifest.pair_text else ():
        bounds["pair_text.ending"] = (token, 0, vocabulary - 1)
    for name, (number, least, most) in bounds.items():
        if not least <= number <= most:
            raise Misfit(f"{name}: {number} is not between {least} and {most}")


def _check_routes(manifest: Manifest) -> None:
    """Check that a folder has just what its schema is for, and one route of the model's graph."""
    if any(graph.dtype == "int16" for graph in manifest.graphs) != (manifest.schema == IN_INT16):
        raise Misfit(f"graphs: one in int16 is what schema {IN_INT16} is for")
    alone = manifest.schema != IN_INT16  # which may be of either kind too
    if alone and bool(manifest.routes) != (manifest.schema == ROUTED):
        raise Misfit(f"routes: they are what schema {ROUTED} is for")
    if alone and (manifest.pair_text is not None) != (manifest.schema == CHATTING):
        raise Misfit(f"pair_text: it is what schema {CHATTING} is for")
    own = [route for route in manifest.routes if route.graph is None]
    if manifest.routes and (len(own) != 1 or own[0].output != TASK_OUTPUTS[manifest.task]):
        raise Misfit("routes: not one of them is the model's own graph")


def _check_defaults(manifest: Manifest) -> None:
    """Check that what is the default is there."""
    if (name := manifest.default_prompt_name) not in {None, *manifest.prompts}:
        raise Misfit(f"default_prompt_name: {name!r} is not one of the prompts")
    if (name := manifest.default_route) not in {None, *(route.name for route in manifest.routes)}:
        raise Misfit(f"default_route: {name!r} is not one of the routes")


def _check_pooling(pooling: str | None) -> None:
    for mode in () if pooling in {None, GRAPH_POOLING} else pooling.split("+"):
        build(PoolingMode, mode, "pooling")
