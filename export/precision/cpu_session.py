"""CPU session: a graph of a folder that is being made, on ONNX Runtime's CPU provider."""

from collections.abc import Sequence
from pathlib import Path

import onnxruntime

from app.model.batch import Batch, Results


class CpuSession:
    """A loaded graph; what is not proved yet can be run here as the proof runs a session.

    Fused nodes are faster and hide what is between them: who looks there has them left as they are.
    """

    def __init__(self, path: Path, inputs: Sequence[str], *, fuse: bool = True) -> None:
        options = onnxruntime.SessionOptions()
        if not fuse:
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            path, options, providers=["CPUExecutionProvider"]
        )
        self._inputs = inputs

    def run(self, batch: Batch, outputs: Sequence[str]) -> Results:
        """Compute the named outputs, each (B, …) float32."""
        return dict(
            zip(outputs, self._session.run(list(outputs), batch.feed(self._inputs)), strict=True)
        )
