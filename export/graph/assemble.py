"""Assemble: a model as a converter wrote it, extended by a head and saved for the server."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import onnx
from onnx import TensorProto, helper

from app.model.manifest import GRAPH_FILE
from app.model.names import TOKEN_EMBEDDINGS
from app.model.parts import GraphNames
from export.errors import ExportError
from export.graph.builder import Builder
from export.graph.reader import opset, rename, replace_nodes

ENCODER_OUTPUT = "last_hidden_state"
GRAPH_ANSWER = "graph_answer"  # (B, D): the vectors of texts, if a graph yields them itself
BATCH, SEQUENCE = "batch", "sequence"
_INPUTS = ("input_ids", "attention_mask", "token_type_ids")

Dimension = int | str
Outputs = Mapping[str, tuple[Dimension, ...]]
# Adds nodes behind a bare model, given its output's width; returns the outputs that replace it.
AddHead = Callable[[Builder, Dimension], Outputs]


def extend(
    source: Path, folder: Path, output: str, add_head: AddHead, masks: Sequence[str] = ()
) -> GraphNames:
    """Write `source` to `folder` with a head on its `output`, and its weights in a file beside it.

    `masks` are inputs (B, S) that the head needs.

    Returns the graph's inputs and outputs. Raises: ExportError for a graph of another shape.
    """
    model = onnx.load(source)
    graph = model.graph
    if output not in {item.name for item in graph.output}:
        found = ", ".join(item.name for item in graph.output)
        raise ExportError(f"the converted graph yields {found} instead of {output}")
    before, after = Builder(opset(model)), Builder(opset(model))
    _provide_position_ids(graph, before)
    _ask_for_mask(graph)
    unknown = [item.name for item in graph.input if item.name not in _INPUTS]
    if unknown:
        raise ExportError(f"the converted graph asks for {', '.join(unknown)}: not supported")
    rename(graph.node, {ENCODER_OUTPUT: TOKEN_EMBEDDINGS})
    graph.input.extend(map(_mask, masks))
    shapes = add_head(after, _width(graph, output))
    _assemble(graph, before, after, shapes)
    _name_axes(graph)
    save(model, folder)
    return tuple(item.name for item in graph.input), tuple(shapes)


def outputs(source: Path) -> tuple[str, ...]:
    """Return the names of a graph's outputs."""
    model = onnx.load(source, load_external_data=False)
    return tuple(item.name for item in model.graph.output)


def _width(graph: onnx.GraphProto, output: str) -> Dimension:
    [item] = [item for item in graph.output if item.name == output]
    width = item.type.tensor_type.shape.dim[-1]
    size: Dimension = width.dim_value or width.dim_param
    return size


def _provide_position_ids(graph: onnx.GraphProto, builder: Builder) -> None:
    """Compute the position ids that decoders need: 0 at the first real token of a row."""
    index = next((i for i, item in enumerate(graph.input) if item.name == "position_ids"), None)
    if index is None:
        return
    del graph.input[index]
    counted = builder.node("CumSum", "attention_mask", builder.integers(1))
    shifted = builder.node("Sub", counted, builder.integers(1))
    builder.node("Max", shifted, builder.integers(0), output="position_ids")


def _ask_for_mask(graph: onnx.GraphProto) -> None:
    """Add the mask by which heads leave out padding, if the model itself does not need it."""
    if not any(item.name == "attention_mask" for item in graph.input):
        graph.input.insert(1, _mask("attention_mask"))


def _mask(name: str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.INT64, (BATCH, SEQUENCE))


def _assemble(graph: onnx.GraphProto, before: Builder, after: Builder, outputs: Outputs) -> None:
    replace_nodes(graph, [*before.nodes, *graph.node, *after.nodes])
    del graph.output[:]
    graph.initializer.extend((before.constants | after.constants).values())
    graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in outputs.items()
    )


def _name_axes(graph: onnx.GraphProto) -> None:
    for item in graph.input:
        axes = item.type.tensor_type.shape.dim
        axes[0].dim_param, axes[1].dim_param = BATCH, SEQUENCE
    # Shapes of inner tensors have the old axis names; onnxruntime infers them again.
    del graph.value_info[:]


def save(model: onnx.ModelProto, folder: Path, name: str = GRAPH_FILE) -> None:
    """Write a graph, and its weights to a file beside it."""
    # Mapped from a file of their own, weights load in half the time and memory.
    onnx.save_model(
        model,
        folder / name,
        save_as_external_data=True,
        location=f"{name}.data",
        size_threshold=1024,
    )
    check(folder / name)


def check(path: Path) -> None:
    """Check a model with onnx, but accept operators that onnx does not know.

    ONNX Runtime's optimizer writes operators of its own in the standard's domain.

    Raises: onnx.checker.ValidationError.
    """
    try:
        onnx.checker.check_model(path)
    except onnx.checker.ValidationError as error:
        if "No Op registered for" not in str(error):
            raise
