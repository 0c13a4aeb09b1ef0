"""int16: a graph for the CPU provider whose products with weights multiply 16-bit integers.

Our own operators (app/operators) round rows and weights when they multiply; docs/int16.md has the
arithmetic. The weights stay the float32 ones of the exact graph, whose file this one shares.
"""

import logging
from collections.abc import Sequence
from dataclasses import replace

import onnx
from onnx import helper

from app.model.parts import Graph
from app.operators import library
from export.errors import first_line
from export.graph.reader import lift_constants, prune, replace_nodes
from export.precision import trial
from export.rewriting.activations import Activation
from export.rewriting.linear_layers import FeedForward, Layers, Linear, of_one_input

logger = logging.getLogger(__name__)

FILE = "model.int16.onnx"

_MOST_PARTS = 3  # of one input: kernels take queries, keys and values at once
_NUMBERS: dict[Activation | None, int] = {None: 0, "gelu": 1, "gelu_tanh": 2, "silu": 3}
_ONE_GATE, _HALVES = 1, 2


def make(source: trial.Model, graph: Graph) -> Graph | None:
    """Write the int16 form of a graph beside it, sharing its weights, or return None.

    `graph` is the one for the CPU provider, or else the exact one.
    """
    obstacle = library.fault() or _write(source, graph)
    if obstacle is not None:
        logger.info("int16 is not made: %s", obstacle)
        return None
    return replace(graph, file=FILE, dtype="int16", providers=("cpu",))


def _write(source: trial.Model, graph: Graph) -> str | None:
    """Write the graph to the folder, or return why it cannot be made."""
    model = onnx.load(source.folder / graph.file, load_external_data=False)
    lift_constants(model.graph)
    if not rewrite(model):
        return "the model multiplies nothing by weights"
    try:
        fault = trial.kept(model, source, FILE, "int16")
    except Exception as error:  # noqa: BLE001  # onnxruntime's errors share no narrower base
        return f"the graph cannot be run: {first_line(error)}"
    return None if fault is None else f"the model loses too much: {fault}"


def rewrite(model: onnx.ModelProto) -> int:
    """Replace products with weights by the operators, in place; constants must be lifted.

    Returns how many nodes of the operators there are now.
    """
    graph = model.graph
    layers = Layers(graph)
    made: dict[str, onnx.NodeProto] = {}  # by the output of the node whose place it takes
    dropped: set[str] = set()
    wholes = layers.feed_forwards()
    for whole in wholes:
        made[whole.down.output] = _feed_forward(whole)
        dropped.update(node.output[0] for node in whole.nodes)
    rest = [one for one in layers.linears.values() if one.nodes[0].output[0] not in dropped]
    for group in of_one_input(rest, _MOST_PARTS):
        # Several products take the place of the first, whose input and biases are known by then.
        place = group[0].nodes[0].output[0] if len(group) > 1 else group[0].output
        made[place] = _linear(group)
        dropped.update(node.output[0] for one in group for node in one.nodes)
    nodes = []
    for node in graph.node:
        name = node.output[0]
        if name in made:
            nodes.append(made[name])
        elif name not in dropped:
            nodes.append(node)
    replace_nodes(graph, nodes)
    prune(graph)
    del graph.value_info[:]
    if made:
        model.opset_import.append(helper.make_opsetid(library.DOMAIN, 1))
    return len(made)


def _linear(group: Sequence[Linear]) -> onnx.NodeProto:
    first = group[0]
    inputs = [first.input, *(one.weights for one in group), *(one.bias for one in group)]
    inputs.append(first.residual)
    return helper.make_node(
        "Int16Linear",
        [name for name in inputs if name],
        [one.output for one in group],
        name=f"int16/{first.output}",
        domain=library.DOMAIN,
        parts=len(group),
        bias=int(bool(first.bias)),
        residual=int(bool(first.residual)),
        activation=_NUMBERS[first.activation],
    )


def _feed_forward(whole: FeedForward) -> onnx.NodeProto:
    parts = [one for one in (whole.up, whole.gate, whole.down) if one is not None]
    inputs = [whole.up.input, *(one.weights for one in parts), *(one.bias for one in parts)]
    inputs.append(whole.down.residual)
    gate = _HALVES if whole.halved else _ONE_GATE if whole.gate else 0
    return helper.make_node(
        "Int16FeedForward",
        [name for name in inputs if name],
        [whole.down.output],
        name=f"int16/{whole.down.output}",
        domain=library.DOMAIN,
        gate=gate,
        bias=int(bool(whole.down.bias)),
        residual=int(bool(whole.down.residual)),
        activation=_NUMBERS[whole.up.activation],
    )
