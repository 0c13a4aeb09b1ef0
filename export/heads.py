"""Heads: graft pooling onto a bare encoder graph, as outputs of their own. The door to onnx.

Every pooling is a (B, S) row of weights times the (B, S, H) token embeddings, one batched
MatMul: unlike gathering by index this needs no operator that a provider leaves to the CPU, and
weights of 0 and 1 pick a row exactly in any precision. A mask is one run of ones, with the
padding on either side.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from app.inference.manifest import POOLED_OUTPUTS, SENTENCE_EMBEDDING, TOKEN_EMBEDDINGS, Pooling
from export.errors import ExportError

GRAPH_FILE = "model.onnx"
WEIGHTS_FILE = "model.onnx.data"
_ENCODER_OUTPUT = "last_hidden_state"
_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
_BATCH, _SEQUENCE = "batch", "sequence"


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


def graft(source: Path, folder: Path, pooling: Pooling) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Write `source` with its heads to `folder`, weights in a file beside the graph.

    Returns the graph's inputs and outputs. Raises: ExportError for a graph of another shape.
    """
    model = onnx.load(source)
    _rename_encoder_output(model.graph)
    builder = _Builder()
    _provide_position_ids(model.graph, builder)
    unknown = [item.name for item in model.graph.input if item.name not in _INPUTS]
    if unknown:
        raise ExportError(f"the converted graph asks for {', '.join(unknown)}: not supported")
    provided, builder = builder, _Builder()
    _pool(builder, pooling)
    _assemble(model.graph, provided, builder)
    _name_axes(model.graph)
    _save(model, folder)
    names = tuple(item.name for item in model.graph.input)
    return names, tuple(item.name for item in model.graph.output)


def _rename_encoder_output(graph: onnx.GraphProto) -> None:
    if _ENCODER_OUTPUT not in {output.name for output in graph.output}:
        found = ", ".join(output.name for output in graph.output)
        raise ExportError(f"the converted graph yields {found} instead of {_ENCODER_OUTPUT}")
    for node in graph.node:
        for names in (node.input, node.output):
            for i, name in enumerate(names):
                if name == _ENCODER_OUTPUT:
                    names[i] = TOKEN_EMBEDDINGS


def _provide_position_ids(graph: onnx.GraphProto, builder: _Builder) -> None:
    """Compute the position ids that decoders ask for: 0 at the first real token of a row."""
    index = next((i for i, item in enumerate(graph.input) if item.name == "position_ids"), None)
    if index is None:
        return
    del graph.input[index]
    counted = builder.node("CumSum", "attention_mask", builder.integers(1))
    shifted = builder.node("Sub", counted, builder.integers(1))
    builder.node("Max", shifted, builder.integers(0), output="position_ids")


def _pool(builder: _Builder, pooling: Pooling) -> None:
    """Add a (B, H) output for each pooling, and the one that the checkpoint means."""
    mask = builder.node("Cast", "attention_mask", to=TensorProto.FLOAT)
    for mode, output in POOLED_OUTPUTS.items():
        _POOLINGS[mode](builder, mask, output)
    builder.node("Identity", POOLED_OUTPUTS[pooling], output=SENTENCE_EMBEDDING)


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


def _assemble(graph: onnx.GraphProto, before: _Builder, after: _Builder) -> None:
    nodes = [*before.nodes, *graph.node, *after.nodes]
    del graph.node[:]
    graph.node.extend(nodes)
    graph.initializer.extend((before.constants | after.constants).values())
    width = graph.output[0].type.tensor_type.shape.dim[2]
    dimension = width.dim_value or width.dim_param
    outputs = [
        (TOKEN_EMBEDDINGS, (_BATCH, _SEQUENCE, dimension)),
        *((name, (_BATCH, dimension)) for name in (SENTENCE_EMBEDDING, *POOLED_OUTPUTS.values())),
    ]
    del graph.output[:]
    graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in outputs
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
