"""Dequantized: the float32 weights of a BERT that is published as an int8 graph only."""

import re
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

Weights = dict[str, NDArray[np.float32]]

_MATRIX = re.compile(r"^/(.*)/MatMul(_quant)?$")
_PREFIX = re.compile(r"^(model\.)?model\.0\.auto_model\.|^model\.model\.0\.auto_model\.")


def weights(content: bytes) -> Weights:
    """The tensors of a graph by the names that PyTorch has for them.

    Weights of products are named by their nodes, and their matrices are transposed.
    """
    graph = onnx.load_from_string(content).graph
    tensors = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    found: dict[str, NDArray[Any]] = {}
    for name in tensors:
        base = name.removesuffix("_quantized")
        if base.startswith("onnx::") or base.endswith(("_scale", "_zero_point")):
            continue
        value = _value(tensors, name)
        transposed = base != name and not base.endswith("embeddings.weight")
        found[base] = value.T if transposed else value
    for node in graph.node:
        place = _MATRIX.match(node.name)
        operand = next((one for one in node.input if one.startswith("onnx::MatMul")), None)
        if place and operand is not None and operand in tensors:
            found[f"{place[1].replace('/', '.')}.weight"] = _value(tensors, operand).T
    return {
        _PREFIX.sub("", name): np.ascontiguousarray(value, np.float32)
        for name, value in found.items()
        if value.ndim and name.endswith(("weight", "bias"))
    }


def _value(tensors: dict[str, NDArray[Any]], name: str) -> NDArray[Any]:
    """A tensor as it is, or scaled back: by one factor, or by one for each column."""
    value = tensors[name]
    if not name.endswith("_quantized"):
        return value
    base = name.removesuffix("quantized")
    zero = tensors[f"{base}zero_point"].astype(np.float32)
    scaled: NDArray[Any] = (value.astype(np.float32) - zero) * tensors[f"{base}scale"]
    return scaled
