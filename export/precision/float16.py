"""float16: a graph for GPUs, and one without padding if its attention can be fused.

Both share their weights. A fused graph is used only if it still gives the original's answers in
float32. Tensors that come near the end of float16's range over the probes stay in float32.
"""

import logging
from dataclasses import replace

import onnx

from app.model.parts import Graph
from export.graph import assemble
from export.graph.reader import lift_constants
from export.precision import calibration, halves, trial
from export.precision.trial import Model
from export.rewriting import attention, packing

logger = logging.getLogger(__name__)

FILE = "model.float16.onnx"
PACKED_FILE = "model.float16.packed.onnx"

_MARGIN = 4  # texts other than the probes may lead to larger values


def make(source: Model) -> tuple[Graph, ...]:
    """Write the float16 graph beside the float32 one, and one without padding if possible."""
    folder, exact = source.folder, source.exact
    model = onnx.load(folder / exact.file, load_external_data=False)
    lift_constants(model.graph)
    types = halves.Types.infer(model)
    try:
        obstacle = _fuse(model, source)
        wide = _wide(model, types, source)
    finally:
        (folder / trial.FILE).unlink(missing_ok=True)
    halves.rewrite(model.graph, types, halves.decide(model.graph, types, wide))
    assemble.save(model, folder, FILE)
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
    """Fuse the attention in place, or return why not; write the result as the trial either way."""
    plain = onnx.ModelProto()
    plain.CopyFrom(model)
    obstacle = None
    if source.padding.side != "right":
        obstacle = "padding is on the left"
    elif not attention.fuse(model):
        obstacle = "it is of another kind than BERT's"
    elif (fault := trial.fault(model, source)) is not None:
        obstacle = f"fused it is another model: {fault}"
        model.CopyFrom(plain)
    if obstacle is not None:
        onnx.save_model(model, source.folder / trial.FILE)  # beside the weights, which it shares
    return obstacle


def _wide(model: onnx.ModelProto, types: halves.Types, source: Model) -> frozenset[str]:
    """Load the weights, and return the tensors whose values do not fit into float16."""
    onnx.load_external_data_for_model(model, str(source.folder))
    names = sorted(halves.decide(model.graph, types) - types.single)
    tried = replace(source.exact, file=trial.FILE)
    largest = calibration.peaks(source.folder, tried, names, source.probes, source.padding)
    most = halves.LARGEST / _MARGIN
    wide = frozenset(name for name in names if not largest[name] <= most)
    if wide:
        logger.info("float16: %d of %d tensors stay in float32", len(wide), len(names))
    return wide
