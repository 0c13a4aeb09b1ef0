"""Calibration: how large the inputs of a graph's products become over the probes."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper

from app.inference.batch import collate
from app.inference.manifest import Graph, Padding
from app.inference.proof import Probes
from export.graph_builder import Builder

_FILE = "calibration.onnx"
_PROBES = 64


def largest(
    folder: Path, graph: Graph, names: Iterable[str], probes: Probes, padding: Padding
) -> Mapping[str, NDArray[np.float32]]:
    """The largest absolute value of each of its K entries, for tensors (…, K) of a graph."""
    file = folder / _FILE  # beside the graph, whose weights it shares
    outputs = _write(folder / graph.file, file, names)
    try:
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        found: list[NDArray[np.float32]] = []
        for one in probes.take(_PROBES).inputs:
            batch = collate([one], padding)
            every = {
                "input_ids": batch.input_ids,
                "attention_mask": batch.attention_mask,
                "token_type_ids": batch.token_type_ids,
            }
            values = session.run(
                list(outputs.values()), {name: every[name] for name in graph.inputs}
            )
            found = list(map(np.maximum, found, values)) if found else values
    finally:
        file.unlink(missing_ok=True)
    return dict(zip(outputs, found, strict=True))


def _write(source: Path, target: Path, names: Iterable[str]) -> dict[str, str]:
    """Write the graph with an output (K,) for each tensor; their names."""
    model = onnx.load(source, load_external_data=False)
    opset = next(one.version for one in model.opset_import if one.domain == "")
    builder = Builder(opset, "calibration")
    outputs = {}
    for name in names:
        shape = builder.node("Shape", name)
        width = builder.node("Gather", shape, builder.integers(-1))
        rows = builder.node("Concat", builder.integers(-1), width, axis=0)
        flat = builder.node("Abs", builder.node("Reshape", name, rows))
        outputs[name] = builder.reduced("ReduceMax", flat, 0, keepdims=0)
    model.graph.node.extend(builder.nodes)
    model.graph.initializer.extend(builder.constants.values())
    model.graph.output.extend(
        helper.make_tensor_value_info(output, TensorProto.FLOAT, None)
        for output in outputs.values()
    )
    onnx.save_model(model, target)
    return outputs
