"""Session: one exported graph on one execution provider. With `providers`, onnxruntime's door."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from app.errors import BackendFailed, StartupError
from app.inference import machine
from app.inference.batch import Batch
from app.inference.manifest import Dtype, Graph, Manifest, Provider
from app.inference.providers import Choice, Plan, candidates, unusable

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """How to run a graph; `threads` 0 means every core that the process may use."""

    provider: Choice = "auto"
    threads: int = 0


class Session:
    """A loaded graph. `run` may be called from several threads at a time."""

    def __init__(self, session: onnxruntime.InferenceSession, plan: Plan, graph: Graph) -> None:
        self._session = session
        self._inputs = frozenset(graph.inputs)
        self.plan = plan
        self.graph = graph

    @property
    def provider(self) -> Provider:
        """The provider that really runs the graph."""
        return self.plan.provider

    @property
    def compute_dtype(self) -> Dtype:
        """The precision that the provider really computes in."""
        return self.plan.compute_dtype

    @classmethod
    def load(cls, folder: Path, manifest: Manifest, options: SessionOptions) -> Self:
        """Load the folder's graph on the provider asked for, and check that it is the one got.

        Raises: StartupError naming the file or the provider, with the remedy.
        """
        plans = candidates(options.provider, onnxruntime.get_available_providers())
        for plan in plans[:-1]:
            try:
                return cls._load(folder, manifest, plan, options.threads)
            except StartupError as error:
                logger.warning("%s; trying %s", error, plans[-1].provider)
        return cls._load(folder, manifest, plans[-1], options.threads)

    @classmethod
    def _load(cls, folder: Path, manifest: Manifest, plan: Plan, threads: int) -> Self:
        graph = _graph_for(manifest, plan)
        if plan.provider == "cuda":
            onnxruntime.preload_dlls()
        try:
            session = onnxruntime.InferenceSession(
                folder / graph.file,
                _session_options(threads or machine.usable_cores()),
                providers=[(plan.ort_name, plan.ort_options)],
            )
        except Exception as error:  # noqa: BLE001  # onnxruntime's errors share no narrower base
            raise StartupError(f"{folder / graph.file} cannot be loaded: {error}") from None
        if session.get_providers()[0] != plan.ort_name:
            raise unusable(plan, f"got {session.get_providers()[0]} instead")
        session.disable_fallback()  # a failing provider must fail, not move to the CPU
        return cls(session, plan, graph)

    def run(self, batch: Batch, outputs: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        """Compute the named outputs, each (B, …) float32.

        Raises: BackendFailed with ONNX Runtime's own words.
        """
        feed = {
            "input_ids": batch.input_ids,
            "attention_mask": batch.attention_mask,
            "token_type_ids": batch.token_type_ids,
        }
        feed = {name: array for name, array in feed.items() if name in self._inputs}
        try:
            results = self._session.run(list(outputs), feed)
        except Exception as error:  # onnxruntime's errors share no narrower base
            raise BackendFailed(f"Backend error: {error}") from error
        return dict(zip(outputs, results, strict=True))


def _graph_for(manifest: Manifest, plan: Plan) -> Graph:
    for graph in manifest.graphs:
        if plan.provider in graph.providers and graph.dtype == plan.compute_dtype:
            return graph
    raise StartupError(
        f"the exported model holds no {plan.compute_dtype} graph for provider {plan.provider}: "
        "export it again"
    )


def _session_options(threads: int) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads  # the default counts the host's cores, and pins them
    options.inter_op_num_threads = 1
    options.enable_mem_pattern = False  # plans are kept per shape, and shapes never repeat
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options
