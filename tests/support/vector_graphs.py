"""The tiny model with a second graph, of the vector alone, which is served in its place."""

from dataclasses import replace
from pathlib import Path

import onnx
from onnx import TensorProto, helper

from app.model.manifest import GRAPH_FILE, Manifest
from app.model.names import SENTENCE_EMBEDDING, Provider
from export.graph.reader import prune
from tools import tiny

FILE = "model.vector.onnx"


def build(folder: Path, provider: Provider) -> Manifest:
    """Write the folder; its second graph reads 32-bit integers, and is for that provider only."""
    manifest = tiny.build(folder)
    model = onnx.load(folder / GRAPH_FILE, load_external_data=False)
    graph = model.graph
    kept = [one for one in graph.output if one.name == SENTENCE_EMBEDDING]
    del graph.output[:], graph.input[:]
    graph.output.extend(kept)
    names = ("input_ids", "attention_mask")
    graph.input.extend(
        helper.make_tensor_value_info(name, TensorProto.INT32, ("b", "s")) for name in names
    )
    first = helper.make_tensor("first", TensorProto.INT64, (1,), [0])
    for node in graph.node:
        for place, name in enumerate(node.input):
            node.input[place] = first.name if name == "token_type_ids" else name
    graph.initializer.append(first)
    prune(graph)
    onnx.save_model(model, folder / FILE)
    [exact] = manifest.graphs
    exact = replace(exact, providers=("cpu", "openvino"))
    vector = replace(
        exact,
        file=FILE,
        providers=(provider,),
        inputs=names,
        outputs=(SENTENCE_EMBEDDING,),
        integers="int32",
    )
    return tiny.seal(folder, replace(manifest, graphs=(exact, vector)))
