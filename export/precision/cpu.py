"""CPU: the float32 graph for the CPU provider, which need not hold all attention scores at once.

As converted, attention stores all scores of a run, heads × tokens², twice, and a mask of tokens² in
several types: 9.6 GiB for one text of 8,192 tokens and 16 heads. One operator holds the scores
once; without a mask it goes through them in pieces that fit the processor's cache. A run needs no
mask if no row is padded, which is true of a text alone, and the longest texts always run alone.
"""

import logging
from dataclasses import replace

import onnx
from onnx import TensorProto, helper

from app.model.parts import Graph
from export.graph.builder import Builder
from export.graph.reader import lift_constants, opset, replace_nodes
from export.precision import trial
from export.rewriting import attention

logger = logging.getLogger(__name__)

FILE = "model.cpu.onnx"

_UNMASKED = 3  # inputs: query, key, value
_MASKED = 5  # and a bias of projections, which is never used, and the mask


def make(source: trial.Model) -> Graph | None:
    """Write the graph beside the float32 one, whose weights it shares, or return None."""
    obstacle = _write(source)
    if obstacle is not None:
        logger.info("attention is computed as it was converted: %s", obstacle)
        return None
    return replace(source.exact, file=FILE, providers=("cpu",), attention="fused")


def _write(source: trial.Model) -> str | None:
    """Write the graph to the folder, or return why it cannot be made."""
    if source.padding.side != "right":
        return "padding is on the left"
    model = onnx.load(source.folder / source.exact.file, load_external_data=False)
    lift_constants(model.graph)
    if not attention.fuse(model):
        return "it is of another kind than BERT's"
    _guard(model)
    fault = trial.kept(model, source, FILE)
    return None if fault is None else f"fused it is another model: {fault}"


def _guard(model: onnx.ModelProto) -> None:
    """Make each attention skip its mask if no row of the batch is padded."""
    builder = Builder(opset(model), "unpadded")
    least = builder.node("ReduceMin", "attention_mask", keepdims=0)
    unpadded = builder.node("Cast", least, to=TensorProto.BOOL)
    for node in model.graph.node:
        # Attention with a bias of scores cannot be computed in pieces.
        if node.op_type == attention.OPERATOR and len(node.input) == _MASKED:
            branches = {
                "then_branch": _branch(node, "unpadded", _UNMASKED),
                "else_branch": _branch(node, "padded", _MASKED),
            }
            builder.node("If", unpadded, output=node.output[0], **branches)
        else:
            builder.nodes.append(node)
    replace_nodes(model.graph, list(builder.nodes))


def _branch(node: onnx.NodeProto, name: str, inputs: int) -> onnx.GraphProto:
    """Make a graph of this node alone, with only its first `inputs` inputs."""
    copied = onnx.NodeProto()
    copied.CopyFrom(node)
    del copied.input[inputs:]
    copied.name = f"{node.name}/{name}"
    copied.output[0] = f"{node.output[0]}/{name}"
    output = helper.make_tensor_value_info(copied.output[0], TensorProto.FLOAT, None)
    return helper.make_graph([copied], name, [], [output])
