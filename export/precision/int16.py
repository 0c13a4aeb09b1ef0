"""int16: a graph for the CPU provider whose products with weights multiply 16-bit integers.

Our own operators (app/operators) round rows and weights when they multiply; docs/int16.md has the
arithmetic. The weights stay the float32 ones of the exact graph, whose file this one shares.
"""

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

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

OPERATOR = "Int16Products"

_MOST_PARTS = 3  # of one input: queries, keys and values at once
_NUMBERS: dict[Activation | None, int] = {None: 0, "gelu": 1, "gelu_tanh": 2, "silu": 3}


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
    """Replace products with weights by the operator, in place; constants must be lifted.

    Returns how many nodes of the operator there are now.
    """
    graph = model.graph
    layers = Layers(graph)
    made: dict[str, onnx.NodeProto] = {}  # by the output of the node whose place it takes
    dropped: set[str] = set()
    wholes = layers.feed_forwards()
    for whole in wholes:
        made[whole.down.output] = _feed_forward(layers, whole)
        dropped.update(node.output[0] for node in whole.nodes)
    rest = [
        one.product() for one in layers.linears.values() if one.nodes[0].output[0] not in dropped
    ]
    for group in of_one_input(rest, _MOST_PARTS):
        # Several products take the place of the first, whose input and biases are known by then.
        place = group[0].nodes[0].output[0] if len(group) > 1 else group[0].output
        made[place] = _products(layers, group)
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


def _products(layers: Layers, group: Sequence[Linear]) -> onnx.NodeProto:
    return _node(layers, group, [one.output for one in group])


def _feed_forward(layers: Layers, whole: FeedForward) -> onnx.NodeProto:
    # Halves are the same weights twice.
    gate = whole.up if whole.halved else whole.gate
    linears = [one for one in (whole.up, gate, whole.down) if one is not None]
    return _node(
        layers,
        linears,
        [whole.down.output],
        feed_forward=1,
        halves=int(whole.halved),
        activation=_NUMBERS[whole.up.activation],
    )


def _node(
    layers: Layers, linears: Sequence[Linear], outputs: Sequence[str], **attributes: Any
) -> onnx.NodeProto:
    inputs = [linears[0].input]
    for one in linears:
        inputs += [one.weights, one.bias or layers.zeros(one)]
    return helper.make_node(
        OPERATOR,
        inputs,
        outputs,
        name=f"int16/{outputs[0]}",
        domain=library.DOMAIN,
        **attributes,
    )
