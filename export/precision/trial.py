"""Trial: whether a graph that was rewritten still gives the answers of the one it was made from."""

from dataclasses import dataclass
from pathlib import Path

import onnx

from app.model.batch import CPU_RUN_TOKENS, BatchLimits
from app.model.names import TASK_OUTPUTS, Task
from app.model.parts import Graph, Padding
from app.proof import bounds, replay
from app.proof.probes import Probes
from export.precision.cpu_session import CpuSession

FILE = "trial.onnx"

_LIMITS = BatchLimits(CPU_RUN_TOKENS)


@dataclass(frozen=True, slots=True)
class Model:
    """What other graphs are made from: the float32 one, how it is padded, and its probes."""

    folder: Path
    exact: Graph
    padding: Padding
    task: Task
    probes: Probes


def fault(model: onnx.ModelProto, source: Model) -> str | None:
    """How far a float32 graph is from the probes' answers; None where it is as close as it must be.

    It is left beside the weights, which it shares, as the trial.
    """
    onnx.save_model(model, source.folder / FILE)
    session = CpuSession(source.folder / FILE, source.exact.inputs)
    output = TASK_OUTPUTS[source.task]
    found = replay.replay(session, source.probes, source.padding, _LIMITS, output)
    if bounds.is_proved(source.task, "float32", found):
        return None
    return bounds.figure(source.task, found)
