"""int8: a second graph, whose products with weights multiply 8-bit integers.

Each token gets a scale at run time, from its own values; each channel of the weights and each row
of an embedding table has one from the export. So a text's vector does not depend on the other texts
of its batch, as it would if a batch shared a scale. Only standard ONNX operators are used.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from app.model.parts import Graph, Padding
from app.proof.probes import Probes
from export.errors import ExportError
from export.graph import assemble
from export.graph.builder import Builder
from export.graph.reader import opset, rebuild
from export.precision import calibration

FILE = "model.int8.onnx"
# Part of the fingerprint: another way of rounding is another vector space.
SCHEME = "int8, a scale for each token, channel and embedding, smoothed by 0.5"

_HEAD = "head/"  # layers behind the encoder stay as they are: they are small, and end in the vector
_LEAST_ROWS = 1000  # of an embedding table worth rounding; positions and types have fewer
_ZERO = 128  # products of unsigned inputs and signed weights are fastest
_LEAST_SCALE = 1e-12  # of a token that is all zeros
_LARGEST = 127  # of an integer, in both directions, so that zero stays zero

Floats = NDArray[np.float32]
Products = dict[str, list[onnx.NodeProto]]


def quantize(folder: Path, exact: Graph, probes: Probes, padding: Padding) -> Graph:
    """Write the int8 form of a float32 graph beside it, calibrated with some of the probes.

    Raises: ExportError if the graph has nothing to quantize.
    """
    model = onnx.load(folder / exact.file, load_external_data=False)
    shapes = {item.name: tuple(item.dims) for item in model.graph.initializer if _is_matrix(item)}
    products = _products(model.graph, shapes)
    if not products:
        raise ExportError("--dtype int8: the model multiplies nothing by weights")
    largest = calibration.largest(folder, exact, products, probes, padding)
    onnx.load_external_data_for_model(model, str(folder))
    _rewrite(model, products, largest)
    assemble.save(model, folder, FILE)
    return Graph(FILE, "int8", ("cpu",), exact.inputs, exact.outputs)


def scaled(weights: Floats, axis: int) -> tuple[NDArray[np.int8], Floats]:
    """Round weights to integers, and return them with their scales, of size 1 along `axis`."""
    largest = np.abs(weights).max(axis=axis, keepdims=True)
    scales: Floats = np.where(largest == 0, 1, largest / _LARGEST).astype(np.float32)
    return np.rint(weights / scales).astype(np.int8), scales


def smoothing(inputs: Floats, weights: Sequence[Floats]) -> Floats:
    """Return factors (K,) to divide inputs by, and to multiply their weights by.

    A few inputs of a transformer are many times as large as the others, to which rounding leaves
    few integers; weights are even. The factors make both equally uneven: SmoothQuant (arXiv
    2211.10438) with α = 0.5. `inputs` are the largest of each of K inputs, over all probes, and
    `weights` several (K, N) matrices that they are multiplied by.
    """
    largest = np.max([np.abs(one).max(axis=1) for one in weights], axis=0)
    usable = (inputs > 0) & (largest > 0)
    ratio = np.divide(inputs, largest, out=np.ones_like(inputs), where=usable)
    factors: Floats = np.sqrt(ratio).astype(np.float32)
    return factors


def _is_matrix(item: onnx.TensorProto) -> bool:
    return len(item.dims) == 2 and item.data_type == TensorProto.FLOAT


def _products(graph: onnx.GraphProto, shapes: Mapping[str, tuple[int, ...]]) -> Products:
    """Return the products with weights, by input: it is quantized once for all of them."""
    found: Products = {}
    for node in graph.node:
        is_product = node.op_type == "MatMul" and node.input[1] in shapes
        if is_product and not node.input[1].startswith(_HEAD):
            found.setdefault(node.input[0], []).append(node)
    return found


def _rewrite(model: onnx.ModelProto, products: Products, largest: Mapping[str, Floats]) -> None:
    graph = model.graph
    matrices = {item.name: item for item in graph.initializer if _is_matrix(item)}
    builder = Builder(opset(model), "int8")
    pending = dict(products)
    multiplied = {node.output[0] for nodes in products.values() for node in nodes}
    for node in graph.node:
        if node.output[0] in multiplied:
            name = node.input[0]
            if name in pending:  # the first product of an input brings the others with it
                _multiply(builder, name, pending.pop(name), matrices, largest[name])
        elif node.op_type == "Gather" and _is_table(matrices.get(node.input[0])):
            _look_up(builder, node, matrices[node.input[0]])
        else:
            builder.nodes.append(node)
    rebuild(graph, builder.nodes, builder.constants.values())


def _multiply(
    builder: Builder,
    value: str,
    nodes: list[onnx.NodeProto],
    matrices: Mapping[str, onnx.TensorProto],
    largest: Floats,
) -> None:
    """Quantize (…, K) inputs, and replace their products: multiply integers, then both scales."""
    weights = [numpy_helper.to_array(matrices[node.input[1]]) for node in nodes]
    factors = smoothing(largest, weights)
    even = builder.node("Mul", value, builder.tensor(f"{value}/even", np.reciprocal(factors)))
    reach = builder.reduced("ReduceMax", builder.node("Abs", even), -1, keepdims=1)
    share = builder.node("Mul", reach, builder.number(1 / _LARGEST))
    scale = builder.node("Max", share, builder.number(_LEAST_SCALE))
    zero = builder.byte(_ZERO)
    rounded = builder.node(
        "QuantizeLinear", builder.node("Div", even, scale), builder.number(1), zero
    )
    for node, matrix in zip(nodes, weights, strict=True):
        integers, scales = scaled(matrix * factors[:, np.newaxis], axis=0)
        name = node.output[0]
        product = builder.node(
            "MatMulInteger", rounded, builder.tensor(f"{name}/weights", integers), zero
        )
        partial = builder.node("Mul", builder.floats(product), scale)
        builder.node("Mul", partial, builder.tensor(f"{name}/scales", scales[0]), output=name)


def _is_table(item: onnx.TensorProto | None) -> bool:
    return item is not None and item.dims[0] >= _LEAST_ROWS


def _look_up(builder: Builder, node: onnx.NodeProto, table: onnx.TensorProto) -> None:
    """Replace a lookup in an embedding table by one of integers, with a scale for each row."""
    integers, scales = scaled(numpy_helper.to_array(table), axis=1)
    name, ids = node.output[0], node.input[1]
    row = builder.node("Gather", builder.tensor(f"{name}/rows", integers), ids)
    scale = builder.node("Gather", builder.tensor(f"{name}/scales", scales), ids)
    builder.node("Mul", builder.floats(row), scale, output=name)
