"""float16: a graph for GPUs, and where its attention can be fused one that leaves padding out.

Both share their weights. A fused graph is taken only if it still gives the original's answers in
float32, and what a probe drives out of float16's range stays in float32.
"""

import logging
from dataclasses import dataclass, replace
from pathlib import Path

import onnx

from app.inference import agreement, proof
from app.inference.batch import BatchLimits
from app.inference.manifest import TASK_OUTPUTS, Graph, Padding, Task
from app.inference.probes import Probes
from export import attention, calibration, converted_graph, halves, packing
from export.cpu_session import CpuSession
from export.graph_reading import lift_constants

logger = logging.getLogger(__name__)

FILE = "model.float16.onnx"
PACKED_FILE = "model.float16.packed.onnx"

_TRIAL = "trial.onnx"
_TRIAL_LIMITS = BatchLimits(2048)
_MARGIN = 4  # other texts than the probes drive values further


@dataclass(frozen=True, slots=True)
class Model:
    """What a float16 graph is made from: the float32 one, how it is padded, and its probes."""

    folder: Path
    exact: Graph
    padding: Padding
    task: Task
    probes: Probes


def make(source: Model) -> tuple[Graph, ...]:
    """Write the float16 forms beside the float32 graph: one, or the one without padding as well."""
    folder, exact = source.folder, source.exact
    model = onnx.load(folder / exact.file, load_external_data=False)
    lift_constants(model.graph)
    types = halves.Types.infer(model)
    try:
        obstacle = _fuse(model, source)
        wide = _wide(model, types, source)
    finally:
        (folder / _TRIAL).unlink(missing_ok=True)
    halves.rewrite(model.graph, types, halves.decide(model.graph, types, wide))
    converted_graph.save(model, folder, FILE)
    plain = Graph(FILE, "float16", ("cuda", "cpu"), exact.inputs, exact.outputs)
    if obstacle is not None:
        logger.info("float16: attention is left as it is: %s", obstacle)
        return (plain,)
    fused = replace(plain, attention="fused")
    packed = onnx.load(folder / FILE, load_external_data=False)
    if not packing.pack(packed):
        logger.info("float16: padding stays: not every attention can do without")
        return (fused,)
    onnx.save_model(packed, folder / PACKED_FILE)
    return fused, replace(fused, file=PACKED_FILE, providers=("cuda",), attention="packed")


def _fuse(model: onnx.ModelProto, source: Model) -> str | None:
    """Fuse the attention in place and leave what came of it as the trial; or say why not."""
    plain = onnx.ModelProto()
    plain.CopyFrom(model)
    obstacle = None
    if source.padding.side != "right":
        obstacle = "padding is on the left"
    elif not attention.fuse(model):
        obstacle = "it is of another kind than BERT's"
    onnx.save_model(model, source.folder / _TRIAL)  # beside the weights, which it shares
    if obstacle is None:
        session = CpuSession(source.folder / _TRIAL, source.exact.inputs)
        output = TASK_OUTPUTS[source.task]
        found = proof.replay(session, source.probes, source.padding, _TRIAL_LIMITS, output)
        if agreement.is_proved(source.task, "float32", found):
            return None
        obstacle = f"fused it is another model: {agreement.figure(source.task, found)}"
        model.CopyFrom(plain)
        onnx.save_model(model, source.folder / _TRIAL)
    return obstacle


def _wide(model: onnx.ModelProto, types: halves.Types, source: Model) -> frozenset[str]:
    """Load the weights, and name the tensors whose values do not fit into float16."""
    onnx.load_external_data_for_model(model, str(source.folder))
    names = sorted(halves.decide(model.graph, types) - types.single)
    trial = replace(source.exact, file=_TRIAL)
    largest = calibration.peaks(source.folder, trial, names, source.probes, source.padding)
    most = halves.LARGEST / _MARGIN
    wide = frozenset(name for name in names if not largest[name] <= most)
    if wide:
        logger.info("float16: %d of %d tensors stay in float32", len(wide), len(names))
    return wide
