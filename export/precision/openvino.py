"""OpenVINO: the float32 graph for this provider, which yields a text's vector and nothing else.

The graph that every provider runs yields the vector of each token and other poolings as well, for
routes that few call. A server opens it beside this one once they do.
"""

import logging
from dataclasses import replace
from functools import partial

import onnx

from app.model.names import SENTENCE_EMBEDDING
from app.model.parts import Graph
from export.precision import trial
from export.rewriting import plain

logger = logging.getLogger(__name__)

FILE = "model.openvino.onnx"


def make(source: trial.Model) -> Graph | None:
    """Write the graph beside the float32 one, whose weights it shares, or return None."""
    if source.task != "embedding":
        return None
    found = _write(source)
    if isinstance(found, str):
        logger.info("OpenVINO computes the graph as it was converted: %s", found)
        return None
    return found


def _write(source: trial.Model) -> Graph | str:
    """Write the graph to the folder and describe it, or return why it cannot be made."""
    if source.probes.token_answers:
        return "the model has more answers than one vector"
    model = onnx.load(source.folder / source.exact.file, load_external_data=False)
    run = partial(trial.outputs, source.folder)
    if (obstacle := plain.rewrite(model, run)) is not None:
        return obstacle
    if (fault := trial.kept(model, source, FILE)) is not None:
        return f"rewritten it is another model: {fault}"
    return replace(
        source.exact,
        file=FILE,
        providers=("openvino",),
        inputs=tuple(one.name for one in model.graph.input),
        outputs=(SENTENCE_EMBEDDING,),
        integers="int32",
    )
