"""Trial: whether a rewritten graph still gives the answers of the one it was made from.

Graphs that are not proved yet run here, on ONNX Runtime's CPU provider.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx
import onnxruntime

from app.model.batch import CPU_RUN_TOKENS, Batch, BatchLimits, Results
from app.model.names import TASK_OUTPUTS, Dtype, Integers, Task
from app.model.parts import Graph, Padding
from app.operators import library
from app.proof import bounds, replay
from app.proof.counting import CountedRuns
from app.proof.probes import Probes
from export.rewriting.settled_shapes import Array, Feed

logger = logging.getLogger(__name__)

FILE = "trial.onnx"

_LIMITS = BatchLimits(CPU_RUN_TOKENS)


class CpuSession:
    """A loaded graph that is not proved yet, to be run as the proof runs a session.

    `fuse=False` keeps the tensors between nodes that ONNX Runtime would fuse.
    """

    def __init__(self, path: Path, inputs: Sequence[str], *, fuse: bool = True) -> None:
        options = onnxruntime.SessionOptions()
        if not fuse:
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.log_severity_level = 3
        if library.fault() is None:
            library.register(options)
        self._session = onnxruntime.InferenceSession(
            path, options, providers=["CPUExecutionProvider"]
        )
        self._inputs = inputs
        kinds = {one.type for one in self._session.get_inputs()}
        self._integers: Integers = "int32" if kinds == {"tensor(int32)"} else "int64"

    def run(self, batch: Batch, outputs: Sequence[str]) -> Results:
        """Compute the named outputs, each (B, …) float32."""
        feed = batch.feed(self._inputs, self._integers)
        return dict(zip(outputs, self._session.run(list(outputs), feed), strict=True))

    def run_all(self, feed: Feed) -> dict[str, Array]:
        """Compute every output, of any type, from the inputs that there are."""
        names = [one.name for one in self._session.get_outputs()]
        found = self._session.run(names, {name: feed[name] for name in self._inputs})
        return dict(zip(names, found, strict=True))


@dataclass(frozen=True, slots=True)
class Model:
    """The float32 graph that others are made from, how it is padded, and its probes."""

    folder: Path
    exact: Graph
    padding: Padding
    task: Task
    probes: Probes


def outputs(folder: Path, model: onnx.ModelProto, feeds: Sequence[Feed]) -> list[dict[str, Array]]:
    """Run a graph beside the weights in the folder, and return its outputs for each feed."""
    onnx.save_model(model, folder / FILE)
    try:
        session = CpuSession(folder / FILE, [one.name for one in model.graph.input], fuse=False)
        return [session.run_all(feed) for feed in feeds]
    finally:
        (folder / FILE).unlink()


def fault(model: onnx.ModelProto, source: Model, dtype: Dtype = "float32") -> str | None:
    """Run the probes through a graph; return its figure if it fails that bound, else None.

    The graph is left as `trial.onnx`, beside the weights, which it shares.
    """
    onnx.save_model(model, source.folder / FILE)
    session = CpuSession(source.folder / FILE, [one.name for one in model.graph.input])
    output = TASK_OUTPUTS[source.task]
    logger.info("trying a graph in %s: running %d probes", dtype, len(source.probes))
    counted = CountedRuns(session, replay.runs(source.probes), logger.info)
    found = replay.replay(counted, source.probes, source.padding, _LIMITS, output)
    if bounds.is_proved(source.task, dtype, found):
        return None
    return bounds.figure(source.task, found)


def kept(model: onnx.ModelProto, source: Model, file: str, dtype: Dtype = "float32") -> str | None:
    """Leave a graph in the folder as `file` if it passes that bound; else return its figure."""
    try:
        figure = fault(model, source, dtype)
        if figure is None:
            (source.folder / FILE).rename(source.folder / file)
        return figure
    finally:
        (source.folder / FILE).unlink(missing_ok=True)
