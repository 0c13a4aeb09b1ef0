"""Head layers: Dense, LayerNorm and Normalize as nodes of the graph.

Their arithmetic is PyTorch's, with its default parameters.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from export.config.layers import Activation, Dense, Layer, LayerNorm, Linear, Tensors
from export.graph.builder import Builder

_LAYER_NORM_EPSILON = 1e-5
_LEAST_LENGTH = 1e-12  # the least that torch's normalize divides by


def add(builder: Builder, layer: Layer, tensors: Tensors, value: str) -> str:
    """Add a layer over the last axis of `value`, and return the name of its output."""
    match layer:
        case Dense():
            linear = _linear(builder, tensors, value, "linear.")
            found = _ACTIVATIONS[layer.activation](builder, linear)
            return _with_residual(builder, tensors, value, found) if layer.residual else found
        case Linear():
            return _ACTIVATIONS[layer.activation](builder, _linear(builder, tensors, value, ""))
        case LayerNorm():
            return _layer_norm(builder, tensors, value)
        case _:
            return _unit_length(builder, value)


def _unit_length(builder: Builder, value: str) -> str:
    """Divide by the length of the last axis."""
    length = builder.reduced("ReduceL2", value, -1, keepdims=1)
    divisor = builder.node("Max", length, builder.number(_LEAST_LENGTH))
    return builder.node("Div", value, divisor)


def _linear(builder: Builder, tensors: Tensors, value: str, prefix: str) -> str:
    place = f"{len(builder.nodes)}/linear."
    weight = builder.tensor(f"{place}weight", tensors[f"{prefix}weight"].T)
    found = builder.node("MatMul", value, weight)
    bias = tensors.get(f"{prefix}bias")
    return (
        found if bias is None else builder.node("Add", found, builder.tensor(f"{place}bias", bias))
    )


def _with_residual(builder: Builder, tensors: Tensors, value: str, found: str) -> str:
    """Add the layer's input to its output, projected first if their widths differ."""
    if "residual.weight" in tensors:
        value = _linear(builder, tensors, value, "residual.")
    return builder.node("Add", found, value)


def _layer_norm(builder: Builder, tensors: Tensors, value: str) -> str:
    place = f"{len(builder.nodes)}/norm."
    weight = builder.tensor(f"{place}weight", tensors["norm.weight"])
    bias = builder.tensor(f"{place}bias", tensors["norm.bias"])
    return builder.node(
        "LayerNormalization", value, weight, bias, axis=-1, epsilon=_LAYER_NORM_EPSILON
    )


def _gelu(builder: Builder, value: str) -> str:
    """Add the exact GELU; the operator of that name is in a newer operator set than ours."""
    scaled = builder.node("Mul", value, builder.number(0.5**0.5))
    share = builder.node("Add", builder.node("Erf", scaled), builder.number(1))
    return builder.node("Mul", builder.node("Mul", value, builder.number(0.5)), share)


def _silu(builder: Builder, value: str) -> str:
    return builder.node("Mul", value, builder.node("Sigmoid", value))


def _leaky_relu(builder: Builder, value: str) -> str:
    return builder.node("LeakyRelu", value, alpha=0.01)


_ACTIVATIONS: Mapping[Activation, Callable[[Builder, str], str]] = MappingProxyType(
    {
        "Identity": lambda _, value: value,
        "Tanh": lambda builder, value: builder.node("Tanh", value),
        "ReLU": lambda builder, value: builder.node("Relu", value),
        "GELU": _gelu,
        "Sigmoid": lambda builder, value: builder.node("Sigmoid", value),
        "SiLU": _silu,
        "ELU": lambda builder, value: builder.node("Elu", value),
        "LeakyReLU": _leaky_relu,
    }
)
