"""Calibration: how large the inputs of a graph's products become over the probes."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from app.model.batch import collate
from app.model.parts import Graph, Padding
from app.proof.probes import Probes
from export.graph.builder import Builder
from export.graph.reader import opset
from export.precision.trial import CpuSession

_FILE = "calibration.onnx"
_PROBES = 64

_Reduce = Callable[[Builder, str], str]  # adds a measure of a tensor; returns its name


def largest(
    folder: Path, graph: Graph, names: Iterable[str], probes: Probes, padding: Padding
) -> Mapping[str, NDArray[np.float32]]:
    """Return the largest absolute value of each of the K entries of tensors (…, K), by name."""
    return _measure(folder, graph, dict.fromkeys(names, _of_entries), probes, padding)


def peaks(
    folder: Path, graph: Graph, names: Iterable[str], probes: Probes, padding: Padding
) -> Mapping[str, float]:
    """Return the largest absolute value in each tensor, by name; NaN if the tensor holds one."""
    found = _measure(folder, graph, dict.fromkeys(names, _of_all), probes, padding)
    return {name: float(value.item()) for name, value in found.items()}


def _of_entries(builder: Builder, name: str) -> str:
    width = builder.node("Gather", builder.node("Shape", name), builder.integers(-1))
    rows = builder.node("Concat", builder.integers(-1), width, axis=0)
    flat = builder.node("Abs", builder.node("Reshape", name, rows))
    return builder.reduced("ReduceMax", flat, 0, keepdims=0)


def _of_all(builder: Builder, name: str) -> str:
    flat = builder.node("Abs", builder.node("Reshape", name, builder.integers(-1)))
    return builder.reduced("ReduceMax", flat, 0, keepdims=1)


def _measure(
    folder: Path, graph: Graph, wanted: Mapping[str, _Reduce], probes: Probes, padding: Padding
) -> dict[str, NDArray[np.float32]]:
    file = folder / _FILE  # beside the graph, whose weights it shares
    outputs = _write(folder / graph.file, file, wanted)
    try:
        session = CpuSession(file, graph.inputs, fuse=False)
        found: list[NDArray[np.float32]] = []
        for one in probes.take(_PROBES).inputs:
            values = [*session.run(collate([one], padding), outputs).values()]
            found = list(map(np.maximum, found, values)) if found else values
    finally:
        file.unlink(missing_ok=True)
    return dict(zip(wanted, found, strict=True))


def _write(source: Path, target: Path, wanted: Mapping[str, _Reduce]) -> list[str]:
    """Write the graph with an output for each tensor, and return the outputs' names."""
    model = onnx.load(source, load_external_data=False)
    builder = Builder(opset(model), "calibration")
    outputs = [reduce(builder, name) for name, reduce in wanted.items()]
    model.graph.node.extend(builder.nodes)
    model.graph.initializer.extend(builder.constants.values())
    model.graph.output.extend(
        helper.make_tensor_value_info(output, TensorProto.FLOAT, None) for output in outputs
    )
    onnx.save_model(model, target)
    return outputs
