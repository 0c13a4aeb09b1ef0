"""Graph builder: the nodes and constants that are added to a converted graph."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

_AXES_ARE_INPUTS = 18


@dataclass(slots=True)
class Builder:
    """Nodes and constants to add; every name begins with the prefix, so none clashes.

    Each method returns the name of the tensor that it adds.
    """

    opset: int = 18
    prefix: str = "head"
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    constants: dict[str, onnx.TensorProto] = field(default_factory=dict)

    def node(self, operator: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """Add a node; its output gets a name of its own unless one is given."""
        output = output or f"{self.prefix}/{operator}_{len(self.nodes)}"
        self.nodes.append(
            helper.make_node(operator, inputs, [output], name=f"node/{output}", **attributes)
        )
        return output

    def reduced(
        self, operator: str, value: str, axis: int, *, keepdims: int, output: str = ""
    ) -> str:
        """Add a reduction over one axis, which is an input from operator set 18 on."""
        if self.opset >= _AXES_ARE_INPUTS:
            axes = self.integers(axis)
            return self.node(operator, value, axes, keepdims=keepdims, output=output)
        return self.node(operator, value, axes=[axis], keepdims=keepdims, output=output)

    def floats(self, name: str) -> str:
        """Cast an integer tensor to float32."""
        return self.node("Cast", name, to=TensorProto.FLOAT)

    def integers(self, *values: int) -> str:
        """Add a constant of integers, (N,)."""
        return self._constant(np.array(values, np.int64))

    def integer(self, value: int) -> str:
        """Add a constant of one integer, ()."""
        name = f"{self.prefix}/integer_{value}"
        self.constants[name] = numpy_helper.from_array(np.array(value, np.int64), name)
        return name

    def number(self, value: float) -> str:
        """Add a constant of one float32, ()."""
        return self._constant(np.array(value, np.float32))

    def byte(self, value: int) -> str:
        """Add a constant of one unsigned byte, ()."""
        return self._constant(np.array(value, np.uint8))

    def tensor(self, name: str, value: NDArray[np.generic]) -> str:
        """Add weights under a name of their own."""
        name = f"{self.prefix}/{name}"
        self.constants[name] = numpy_helper.from_array(np.ascontiguousarray(value), name)
        return name

    def _constant(self, value: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> str:
        name = f"{self.prefix}/{value.dtype}_{'_'.join(map(str, value.ravel()))}"
        self.constants[name] = numpy_helper.from_array(value, name)
        return name
