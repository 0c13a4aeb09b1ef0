"""Static models: sentence-transformers' models with a token table in place of an encoder.

StaticEmbedding averages the tokens' vectors; SparseStaticEmbedding yields the weight of each token
that occurs. Neither gets the tokenizer's special tokens.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from app.model.manifest import TOKENIZER_FILE
from app.model.names import SPARSE_EMBEDDING, Side
from app.model.parts import GraphNames, Padding
from export.checkpoint import limits, outputs
from export.checkpoint.read import Checkpoint
from export.checkpoint.routers import Module, Way
from export.config import sentence_settings
from export.config.documents import Document
from export.config.layer_configs import KINDS, read_layer
from export.config.layers import Head, Layer, Normalize, Tensors
from export.errors import ExportError
from export.graph import assemble, head_layers
from export.graph.assemble import BATCH, ENCODER_OUTPUT, SEQUENCE
from export.graph.builder import Builder
from export.weights import tensors
from export.weights.weight_files import of_layer

# Tokens of an input, if the library has no limit.
UNLIMITED = 8192
_OPSET, _IR = 18, 10


@dataclass(frozen=True, slots=True)
class StaticModel:
    """A table of vectors, or of weights if it is sparse, and its description."""

    checkpoint: Checkpoint
    table: np.ndarray[tuple[int, ...], np.dtype[np.float32]]  # (V, D) of vectors, (V,) of weights
    is_sparse: bool
    # Of models in Model2Vec's layout:
    mapping: NDArray[np.int64] | None = None  # (V,), the row of each token
    weights: NDArray[np.float32] | None = None  # (V,), what scales it
    unknown: int | None = None  # the id of a token that the average leaves out; its vector is 0

    def write_bare(self, folder: Path) -> Path:
        """Write the table of vectors as a bare graph, from ids to `last_hidden_state`."""
        builder, inputs = Builder(_OPSET, "static"), ["input_ids"]
        table = builder.tensor("table", self.table)
        rows = inputs[0]
        if self.mapping is not None:
            rows = builder.node("Gather", builder.tensor("mapping", self.mapping), rows)
        value = builder.node("Gather", table, rows)
        if self.weights is not None:
            scale = builder.node("Gather", builder.tensor("weights", self.weights), inputs[0])
            value = builder.node("Mul", value, _column(builder, scale, 2))
        if self.unknown is not None and not self.checkpoint.normalize:
            inputs.append("attention_mask")
            value = builder.node("Mul", value, self._ratio(builder, self.unknown))
        builder.node("Identity", value, output=ENCODER_OUTPUT)
        folder.mkdir()
        path = folder / "model.onnx"
        output = ENCODER_OUTPUT, (BATCH, SEQUENCE, self.table.shape[1])
        model = _model(builder.nodes, inputs, output, list(builder.constants.values()))
        onnx.save(model, path)
        return path

    def _ratio(self, builder: Builder, unknown: int) -> str:
        """Add what makes a mean over all tokens one over the known ones, (B, 1, 1)."""
        real = builder.floats("attention_mask")
        is_unknown = builder.node("Equal", "input_ids", builder.integers(unknown))
        known = builder.node("Mul", real, builder.floats(builder.node("Not", is_unknown)))
        every = builder.reduced("ReduceSum", real, 1, keepdims=1)
        counted = builder.reduced("ReduceSum", known, 1, keepdims=1)
        counted = builder.node("Max", counted, builder.number(1))
        return _column(builder, builder.node("Div", every, counted), 2)

    def write_sparse(self, folder: Path) -> GraphNames:
        """Write the table of weights as a finished graph, and return its inputs and outputs."""
        size = len(self.table)
        builder = Builder(_OPSET)
        # Padding goes to an extra column, which is cut off: the padding token may occur in a text.
        real = builder.node("Mul", "input_ids", "attention_mask")
        lacking = builder.node("Sub", builder.integers(1), "attention_mask")
        columns = builder.node("Add", real, builder.node("Mul", lacking, builder.integers(size)))
        shape = builder.node("Shape", "input_ids")
        rows = builder.node("Slice", shape, builder.integers(0), builder.integers(1))
        wide = builder.node("Concat", rows, builder.integers(size + 1), axis=0)
        ones = builder.node("ConstantOfShape", shape, value=_filled(1))
        none = builder.node("ConstantOfShape", wide, value=_filled(0))
        there = builder.node("ScatterElements", none, columns, ones, axis=1)
        ends = builder.integers(0), builder.integers(size), builder.integers(1)
        there = builder.node("Slice", there, *ends)
        value = builder.node("Mul", there, builder.tensor("weights", self.table))
        if self.checkpoint.normalize:
            value = head_layers.add(builder, Normalize(), {}, value)
        builder.node("Identity", value, output=SPARSE_EMBEDDING)
        inputs = ("input_ids", "attention_mask")
        output = SPARSE_EMBEDDING, (BATCH, size)
        model = _model(builder.nodes, inputs, output, list(builder.constants.values()))
        assemble.save(model, folder)
        return inputs, (SPARSE_EMBEDDING,)


def read(way: Way, folder: Path) -> StaticModel:
    """Read the static model of a route that is unfolded in `folder`.

    Raises: ExportError naming what is missing or not supported.
    """
    first, *behind = way.modules
    place = folder / f"0_{first.name}"
    if not (place / TOKENIZER_FILE).is_file():
        raise ExportError(f"{place} has no {TOKENIZER_FILE}: fetch the model again")
    layers = _layers(behind, folder)
    sparse = first.name == "SparseStaticEmbedding"
    table = _weights(place) if sparse else _vectors(place)
    width = len(table) if sparse else outputs.behind(layers, table.shape[1])
    if sparse and layers not in {(), (Normalize(),)}:
        raise ExportError(f"{way.name}: only a Normalize may follow a SparseStaticEmbedding")
    normalize = bool(layers) and isinstance(layers[-1], Normalize)
    settings = sentence_settings.read(folder)
    cut = None if sparse else settings.truncate_dim
    cut = cut if cut is not None and cut < width else None
    inner = layers[:-1] if normalize else layers
    return StaticModel(
        Checkpoint(
            folder=place,
            tokenizer=place / TOKENIZER_FILE,
            architecture=first.name,
            model_type="",
            task="splade" if sparse else "embedding",
            head=None if sparse else Head(("mean",), inner, cut),
            encoder_width=table.shape[-1],
            dimensions=cut or width,
            max_input_length=_length(place, sparse=sparse),
            places=None,
            vocabulary_size=len(table),
            padding=Padding(0, 0, "right"),
            truncation_side=_side(place) if sparse else "right",
            normalize=normalize,
            similarity=settings.similarity,
            prompts=settings.prompts,
            default_prompt_name=settings.default_prompt_name,
        ),
        table,
        sparse,
    )


def _layers(behind: list[Module], folder: Path) -> tuple[Layer, ...]:
    """Read the layers behind the table; Dropout is active in training only."""
    found = []
    for place, module in enumerate(behind, 1):
        if module.name == "Dropout":
            continue
        if module.name not in KINDS:
            raise ExportError(
                f"module {module.kind} is not supported behind a table of tokens, only "
                f"{', '.join(KINDS)}: choose another model"
            )
        found.append(read_layer(folder / f"{place}_{module.name}", module.name))
    return tuple(found)


def _weights(place: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    path = Document.read(place / "config.json").value("path", str)
    if path is not None:
        raise ExportError(
            f"{place / 'config.json'} names its weights by a path, {path!r}: load the model with "
            "sentence-transformers, save_pretrained() it, and export that folder"
        )
    return tensors.read(of_layer(place), {"weight": (None,)})["weight"]


def _vectors(place: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    found: Tensors = tensors.read(
        of_layer(place), {"embedding.weight": (None, None)}, {"embeddings": (None, None)}
    )
    [table] = found.values()
    return table


def _side(place: Path) -> Side:
    """Return the side on which transformers cuts a text."""
    stated = Document.read(place / "tokenizer_config.json").value("truncation_side", str)
    return "left" if stated == "left" else "right"


def _length(place: Path, *, sparse: bool) -> int:
    """Return the most tokens of an input: transformers' limit, or the tokenizer file's own."""
    if sparse:
        stated = Document.read(place / "tokenizer_config.json").first_integer("model_max_length")
        return UNLIMITED if stated is None or stated >= limits.NO_LIMIT else stated
    cutting = Document.read(place / TOKENIZER_FILE).value("truncation", dict) or {}
    if cutting and cutting.get("direction") != "Right":
        raise ExportError(f"{place / TOKENIZER_FILE} cuts texts on the left: not supported")
    return int(cutting.get("max_length") or UNLIMITED)


def _column(builder: Builder, value: str, axis: int) -> str:
    return builder.node("Unsqueeze", value, builder.integers(axis))


def _filled(value: float) -> onnx.TensorProto:
    return numpy_helper.from_array(np.array([value], np.float32))


def _model(
    nodes: list[onnx.NodeProto],
    inputs: tuple[str, ...] | list[str],
    output: tuple[str, tuple[str | int, ...]],
    constants: list[onnx.TensorProto],
) -> onnx.ModelProto:
    taken = [
        helper.make_tensor_value_info(name, TensorProto.INT64, (BATCH, SEQUENCE)) for name in inputs
    ]
    given = [helper.make_tensor_value_info(output[0], TensorProto.FLOAT, output[1])]
    graph = helper.make_graph(nodes, "static", taken, given, constants)
    operators = [helper.make_opsetid("", _OPSET)]
    return helper.make_model(graph, opset_imports=operators, ir_version=_IR)
