"""Activations: the function that some nodes compute, found by computing it.

Converters write GELU in many ways, of up to nine nodes. What they compute is compared over a range
of numbers, so that the way does not matter.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
import onnx
from numpy.typing import NDArray

from export.graph.reader import Reader, Users, attribute

Activation = Literal["gelu", "gelu_tanh", "silu"]
Floats = NDArray[np.float64]

_SAMPLES: Floats = np.linspace(-6, 6, 241)
_MOST_NODES = 12
_erf: Callable[[Floats], Floats] = np.vectorize(math.erf, otypes=[float])


def _gelu(x: Floats) -> Floats:
    found: Floats = 0.5 * x * (1 + _erf(x / math.sqrt(2)))
    return found


def _gelu_tanh(x: Floats) -> Floats:
    cubic = x + 0.044715 * x**3
    found: Floats = 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * cubic))
    return found


def _sigmoid(x: Floats) -> Floats:
    found: Floats = 1 / (1 + np.exp(-x))
    return found


_KNOWN: Mapping[Activation, Floats] = MappingProxyType(
    {
        "gelu": _gelu(_SAMPLES),
        "gelu_tanh": _gelu_tanh(_SAMPLES),
        "silu": _SAMPLES * _sigmoid(_SAMPLES),
    }
)
_OPERATORS: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {
        "Add": np.add,
        "Sub": np.subtract,
        "Mul": np.multiply,
        "Div": np.divide,
        "Pow": np.power,
        "Neg": np.negative,
        "Tanh": np.tanh,
        "Erf": _erf,
        "Sigmoid": _sigmoid,
    }
)


@dataclass(frozen=True, slots=True)
class Activated:
    """A tensor that is an activation of another one, and the nodes between the two."""

    activation: Activation
    output: str
    nodes: tuple[onnx.NodeProto, ...]


def find(reader: Reader, users: Users, name: str) -> Activated | None:
    """Find what a tensor's users make of it alone, if it is a known activation."""
    values: dict[str, Floats] = {name: _SAMPLES}
    nodes: list[onnx.NodeProto] = []
    while len(nodes) < _MOST_NODES:
        node = _next(reader, users, values, nodes)
        if node is None:
            return None
        nodes.append(node)
        output = node.output[0]
        values[output] = _value(reader, node, values)
        found = _known(values[output])
        if found is not None and _is_closed(users, values, nodes, output):
            return Activated(found, output, tuple(nodes))
    return None


def _next(
    reader: Reader,
    users: Users,
    values: Mapping[str, Floats],
    done: Sequence[onnx.NodeProto],
) -> onnx.NodeProto | None:
    """Return a node that needs nothing but the values and single numbers."""
    for name in values:
        for node in users.get(name, ()):
            known = node.op_type in _OPERATORS or node.op_type == "Gelu"
            if known and node not in done:
                rest = (one for one in node.input if one not in values)
                if all(reader.number(one) is not None for one in rest):
                    return node
    return None


def _value(reader: Reader, node: onnx.NodeProto, values: Mapping[str, Floats]) -> Floats:
    inputs = [values[one] if one in values else reader.number(one) for one in node.input]
    if node.op_type == "Gelu":
        return (_gelu_tanh if attribute(node, "approximate") == b"tanh" else _gelu)(
            values[node.input[0]]
        )
    with np.errstate(all="ignore"):
        found: Floats = np.asarray(_OPERATORS[node.op_type](*inputs), np.float64)
    return found


def _known(value: Floats) -> Activation | None:
    close = (one for one, known in _KNOWN.items() if np.allclose(value, known, rtol=0, atol=1e-6))
    return next(close, None)


def _is_closed(
    users: Users,
    values: Mapping[str, Floats],
    nodes: Sequence[onnx.NodeProto],
    output: str,
) -> bool:
    """Check that nothing else reads the tensors between."""
    return all(node in nodes for name in values if name != output for node in users.get(name, ()))
