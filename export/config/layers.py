"""Layers: what a checkpoint puts behind its encoder, in sentence-transformers' words and order.

These are descriptions: weights are read by `export.weights`, and the arithmetic is done by
`reference.head` in NumPy and by `graph.head_layers` in the graph.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from app.model.names import GRAPH_POOLING, PoolingMode

Activation = Literal["Identity", "Tanh", "ReLU", "GELU", "Sigmoid", "SiLU", "ELU", "LeakyReLU"]

POOLING_MODES: tuple[PoolingMode, ...] = get_args(PoolingMode)
ACTIVATIONS: tuple[Activation, ...] = get_args(Activation)

Shapes = dict[str, tuple[int | None, ...]]  # None: any; only the weights' file states it
Tensors = Mapping[str, NDArray[np.float32]]  # by their names in the weights' file


@dataclass(frozen=True, slots=True)
class Dense:
    """A linear layer with an activation."""

    weights: Path  # the folder of model.safetensors or pytorch_model.bin
    inputs: int
    outputs: int
    bias: bool = True
    activation: Activation = "Tanh"
    residual: bool = False  # whether the input is added to the output

    @property
    def shapes(self) -> Shapes:
        """The names and shapes of the tensors that the file must hold."""
        shapes: Shapes = {"linear.weight": (self.outputs, self.inputs)}
        if self.bias:
            shapes["linear.bias"] = (self.outputs,)
        if self.residual and self.inputs != self.outputs:
            shapes["residual.weight"] = (self.outputs, self.inputs)
        return shapes

    @property
    def facts(self) -> list[Any]:
        """The definition of the function besides its weights, for the fingerprint."""
        return ["Dense", self.activation, *(["residual"] if self.residual else [])]


@dataclass(frozen=True, slots=True)
class LayerNorm:
    """A layer normalization with a weight and a bias."""

    weights: Path
    width: int

    @property
    def shapes(self) -> Shapes:
        """The names and shapes of the tensors that the file must hold."""
        return {"norm.weight": (self.width,), "norm.bias": (self.width,)}

    @property
    def facts(self) -> list[Any]:
        """The definition of the function besides its weights, for the fingerprint."""
        return ["LayerNorm"]


@dataclass(frozen=True, slots=True)
class Normalize:
    """Scaling to unit length between layers; at their end it is left to the request."""

    @property
    def shapes(self) -> Shapes:
        """No tensors."""
        return {}

    @property
    def facts(self) -> list[Any]:
        """The definition of the function, for the fingerprint."""
        return ["Normalize"]


@dataclass(frozen=True, slots=True)
class Linear:
    """A linear layer as FlagEmbedding saves it: in one file, which alone states its width."""

    weights: Path  # the file
    inputs: int
    outputs: int | None = None
    activation: Activation = "Identity"

    @property
    def shapes(self) -> Shapes:
        """The names and shapes of the tensors that the file must hold."""
        return {"weight": (self.outputs, self.inputs), "bias": (self.outputs,)}

    @property
    def facts(self) -> list[Any]:
        """The definition of the function besides its weights, for the fingerprint."""
        return ["Linear", self.activation]


Layer = Dense | LayerNorm | Normalize | Linear
Weights = Mapping[Layer, Tensors]  # in float32


@dataclass(frozen=True, slots=True)
class Head:
    """The computation of an embedding model after its token embeddings."""

    poolings: tuple[PoolingMode, ...]  # more than one: concatenated in this order
    layers: tuple[Layer, ...] = ()  # behind the pooling
    cut: int | None = None  # how many values of the vector are kept; None: all
    include_prompt: bool = True  # whether the tokens of a prompt are pooled as well
    graph_width: int | None = None  # of the vector, if the converted graph yields it itself

    @property
    def pooling(self) -> str:
        """The pooling in one word, as manifests and `/info` have it."""
        return "+".join(self.poolings) if self.graph_width is None else GRAPH_POOLING

    @property
    def is_plain(self) -> bool:
        """True if a vector is one pooling and nothing else, so that another may replace it."""
        return len(self.poolings) == 1 and not self.layers and self.cut is None


@dataclass(frozen=True, slots=True)
class TokenHeads:
    """The layers for single tokens, beside a vector for the whole text or in place of it."""

    lexical: tuple[Layer, ...] = ()  # to one weight; none: there are no weights
    multi_vector: tuple[Layer, ...] = ()  # to one vector; none: there are no such vectors
    ignored_ids: tuple[int, ...] = ()  # tokens whose weight never counts
    skipped_id: int | None = None  # the token at the start that has no vector

    @property
    def layers(self) -> tuple[Layer, ...]:
        """All layers, the lexical ones first."""
        return (*self.lexical, *self.multi_vector)


def width_behind(layers: tuple[Layer, ...], width: int) -> int:
    """Return the width of a vector of `width` values after the layers.

    Raises: ValueError naming the layer that does not fit the one before it.
    """
    for layer in layers:
        match layer:
            case Dense():
                taken, given = layer.inputs, layer.outputs
            case LayerNorm():
                taken = given = layer.width
            case Linear():
                taken, given = layer.inputs, layer.outputs or width
            case Normalize():
                continue
        if taken != width:
            raise ValueError(f"{layer.weights} takes {taken} values, and gets {width}")
        width = given
    return width
