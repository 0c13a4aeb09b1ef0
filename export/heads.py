"""Heads: give a bare graph the outputs that the server reads. The door to onnx.

An encoder gets its poolings, a masked language model its sparse vector; what a classifier yields
is in its graph already. Every pooling is a (B, S) row of weights times the (B, S, H) token
embeddings, one batched MatMul: unlike gathering by index this needs no operator that a provider
leaves to the CPU, and weights of 0 and 1 pick a row exactly in any precision. A mask is one run
of ones, with the padding on either side.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from app.inference.manifest import (
    GRAPH_FILE,
    LOGITS,
    POOLED_OUTPUTS,
    SENTENCE_EMBEDDING,
    SPARSE_EMBEDDING,
    TOKEN_EMBEDDINGS,
    Pooling,
    Task,
)
from export.describe import Names
from export.errors import ExportError

WEIGHTS_FILE = "model.onnx.data"
ENCODER_OUTPUT = "last_hidden_state"
_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
_BATCH, _SEQUENCE = "batch", "sequence"

Dimension = int | str
Outputs = Mapping[str, tuple[Dimension, ...]]
# Adds nodes behind a bare model whose output is that wide; returns the outputs that replace it.
Head = Callable[["_Builder", Dimension], Outputs]


@dataclass(slots=True)
class _Builder:
    """Collects nodes and constants; every name begins with `head/`, so none clashes."""

    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: dict[str, onnx.TensorProto] = field(default_factory=dict)

    def node(self, operator: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        output = output or f"head/{operator}_{len(self.nodes)}"
        self.nodes.append(
            helper.make_node(operator, inputs, [output], name=f"node/{output}", **attributes)
        )
        return output

    def integers(self, *values: int) -> str:
        return self._constant(np.array(values, np.int64))

    def number(self, value: float) -> str:
        return self._constant(np.array(value, np.float32))

    def _constant(self, value: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> str:
        name = f"head/{value.dtype}_{'_'.join(map(str, value.ravel()))}"
        self.constants[name] = numpy_helper.from_array(value, name)
        return name


def finish(source: Path, folder: Path, task: Task, pooling: Pooling | None) -> Names:
    """Write a converted model with the outputs of its kind; `pooling` is that of an embedder.

    Returns the graph's inputs and outputs. Raises: ExportError for a graph of another shape.
    """
    if pooling is not None:
        return graft(source, folder, pooling)
    return _write(source, folder, LOGITS, _sparse if task == "splade" else _classify)


def graft(source: Path, folder: Path, pooling: Pooling) -> Names:
    """Write an encoder with every pooling, and `pooling` as the one that its checkpoint means.

    Returns the graph's inputs and outputs. Raises: ExportError for a graph of another shape.
    """
    return _write(source, folder, ENCODER_OUTPUT, partial(_pool, pooling))


def _write(source: Path, folder: Path, output: str, head: Head) -> Names:
    """Write `source` with a head on its `output` to `folder`, weights in a file beside it."""
    model = onnx.load(source)
    graph = model.graph
    if output not in {item.name for item in graph.output}:
        found = ", ".join(item.name for item in graph.output)
        raise ExportError(f"the converted graph yields {found} instead of {output}")
    before, after = _Builder(), _Builder()
    _provide_position_ids(graph, before)
    unknown = [item.name for item in graph.input if item.name not in _INPUTS]
    if unknown:
        raise ExportError(f"the converted graph asks for {', '.join(unknown)}: not supported")
    _rename(graph, ENCODER_OUTPUT, TOKEN_EMBEDDINGS)
    shapes = head(after, _width(graph, output))
    _assemble(graph, before, after, shapes)
    _name_axes(graph)
    _save(model, folder)
    return tuple(item.name for item in graph.input), tuple(shapes)


def _width(graph: onnx.GraphProto, output: str) -> Dimension:
    [item] = [item for item in graph.output if item.name == output]
    width = item.type.tensor_type.shape.dim[-1]
    size: Dimension = width.dim_value or width.dim_param
    return size


def _rename(graph: onnx.GraphProto, old: str, new: str) -> None:
    for node in graph.node:
        for names in (node.input, node.output):
            for i, name in enumerate(names):
                if name == old:
                    names[i] = new


def _provide_position_ids(graph: onnx.GraphProto, builder: _Builder) -> None:
    """Compute the position ids that decoders ask for: 0 at the first real token of a row."""
    index = next((i for i, item in enumerate(graph.input) if item.name == "position_ids"), None)
    if index is None:
        return
    del graph.input[index]
    counted = builder.node("CumSum", "attention_mask", builder.integers(1))
    shifted = builder.node("Sub", counted, builder.integers(1))
    builder.node("Max", shifted, builder.integers(0), output="position_ids")


def _pool(pooling: Pooling, builder: _Builder, width: Dimension) -> Outputs:
    """A (B, H) output for each pooling, the one that the checkpoint means, and (B, S, H)."""
    mask = builder.node("Cast", "attention_mask", to=TensorProto.FLOAT)
    for mode, output in POOLED_OUTPUTS.items():
        _POOLINGS[mode](builder, mask, output)
    builder.node("Identity", POOLED_OUTPUTS[pooling], output=SENTENCE_EMBEDDING)
    pooled = (SENTENCE_EMBEDDING, *POOLED_OUTPUTS.values())
    return {TOKEN_EMBEDDINGS: (_BATCH, _SEQUENCE, width)} | dict.fromkeys(pooled, (_BATCH, width))


def _sparse(builder: _Builder, width: Dimension) -> Outputs:
    """SPLADE: the largest of ln(1 + relu(logit)) over the real tokens, (B, V)."""
    mask = builder.node("Cast", "attention_mask", to=TensorProto.FLOAT)
    column = builder.node("Unsqueeze", mask, builder.integers(2))
    positive = builder.node("Mul", builder.node("Relu", LOGITS), column)
    # The logarithm last: it grows with its argument, and this way it is taken S times less often.
    largest = builder.node("ReduceMax", positive, builder.integers(1), keepdims=0)
    builder.node("Log", builder.node("Add", largest, builder.number(1)), output=SPARSE_EMBEDDING)
    return {SPARSE_EMBEDDING: (_BATCH, width)}


def _classify(builder: _Builder, width: Dimension) -> Outputs:
    """The logits as they are, (B, L)."""
    del builder
    return {LOGITS: (_BATCH, width)}


def _cls(builder: _Builder, mask: str, output: str) -> None:
    """The first real token: it has a 1, and the column before it a 0."""
    padded = builder.node("Pad", mask, builder.integers(0, 1, 0, 0))
    before = builder.node(
        "Slice", padded, builder.integers(0), builder.integers(-1), builder.integers(1)
    )
    _weighted_sum(builder, builder.node("Relu", builder.node("Sub", mask, before)), output)


def _last_token(builder: _Builder, mask: str, output: str) -> None:
    """The last real token: it has a 1, and the column after it a 0."""
    padded = builder.node("Pad", mask, builder.integers(0, 0, 0, 1))
    end = builder.integers(np.iinfo(np.int64).max)
    after = builder.node("Slice", padded, builder.integers(1), end, builder.integers(1))
    _weighted_sum(builder, builder.node("Relu", builder.node("Sub", mask, after)), output)


def _mean(builder: _Builder, mask: str, output: str) -> None:
    """The mean over real tokens; 0 for a row that has none."""
    total = _weighted_sum(builder, mask, "")
    count = builder.node("ReduceSum", mask, builder.integers(1), keepdims=1)
    # Divided last: a count is exact in every precision, its inverse is not.
    builder.node("Div", total, builder.node("Max", count, builder.number(1e-9)), output=output)


_POOLINGS: Mapping[Pooling, Callable[[_Builder, str, str], None]] = MappingProxyType(
    {"cls": _cls, "mean": _mean, "last_token": _last_token}
)


def _weighted_sum(builder: _Builder, weights: str, output: str) -> str:
    """(B, S) weights times (B, S, H) token embeddings: (B, H)."""
    row = builder.node("Unsqueeze", weights, builder.integers(1))
    product = builder.node("MatMul", row, TOKEN_EMBEDDINGS)
    return builder.node("Squeeze", product, builder.integers(1), output=output)


def _assemble(
    graph: onnx.GraphProto,
    before: _Builder,
    after: _Builder,
    outputs: Outputs,
) -> None:
    nodes = [*before.nodes, *graph.node, *after.nodes]
    del graph.node[:], graph.output[:]
    graph.node.extend(nodes)
    graph.initializer.extend((before.constants | after.constants).values())
    graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in outputs.items()
    )


def _name_axes(graph: onnx.GraphProto) -> None:
    for item in graph.input:
        axes = item.type.tensor_type.shape.dim
        axes[0].dim_param, axes[1].dim_param = _BATCH, _SEQUENCE
    # Shapes of inner tensors go by the old names; onnxruntime infers them anew.
    del graph.value_info[:]


def _save(model: onnx.ModelProto, folder: Path) -> None:
    # Mapped from a file of their own, weights load in half the time and memory.
    onnx.save_model(
        model,
        folder / GRAPH_FILE,
        save_as_external_data=True,
        location=WEIGHTS_FILE,
        size_threshold=1024,
    )
    onnx.checker.check_model(folder / GRAPH_FILE)
