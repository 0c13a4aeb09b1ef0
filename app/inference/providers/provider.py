"""Execution provider: the interface of the modules that each describe one.

`choose.PROVIDERS` lists them, and `app.model.names.Provider` their names.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import onnxruntime

from app.inference.providers.plan import Found, Machine, Plan, ProviderRequest
from app.model.batch import BatchLimits
from app.model.manifest import Manifest
from app.model.names import Dtype, Provider, Task
from app.model.parts import Graph

VECTOR_TASKS = ("embedding", "splade", "multi_vector")


@dataclass(frozen=True, slots=True)
class Offer:
    """The plans of a provider if the operator leaves the choice open."""

    plans: Sequence[Plan] = ()  # the best first
    passed_over: str | None = None  # why there are none, if an operator should be told


@dataclass(frozen=True, slots=True, eq=False)
class Opened:
    """A session of ONNX Runtime."""

    session: onnxruntime.InferenceSession
    holds: Callable[[tuple[int, ...]], bool] | None = None  # whether it can run a shape; None: all
    settings: tuple[str, ...] = ()  # that the provider need not know but took: NAME=VALUE
    # For runs beside others, on fewer threads: each thread more makes a run cost more.
    beside_others: onnxruntime.InferenceSession | None = None


class ExecutionProvider(Protocol):
    """One of ONNX Runtime's ways to compute a graph."""

    name: Provider
    ort_name: str  # what ONNX Runtime calls it
    dtypes: Sequence[Dtype]  # that it computes in
    proved: Sequence[Dtype]  # that an export proves if the provider is available
    computes_all: bool  # whether it must compute every operator, and not only the costly ones

    def look(
        self, wanted: ProviderRequest, ort_names: frozenset[str], *, bfloat16: bool
    ) -> Found | None:
        """Inspect this machine, or return None if the provider cannot be chosen: it takes time."""

    def offered(self, wanted: ProviderRequest, here: Machine, task: Task) -> Offer:
        """Return what to try if any provider may be taken, in a precision that it computes in."""

    def asked(self, wanted: ProviderRequest, here: Machine, task: Task) -> Sequence[Plan]:
        """Return what to try if it was asked for by name, in a precision that it computes in.

        Raises: StartupError with the remedy if it is not available.
        """

    def require(self, here: Machine) -> None:
        """Raise StartupError with the remedy if it cannot be used here."""

    def open(
        self, path: Path, plan: Plan, manifest: Manifest, graph: Graph, limits: BatchLimits | None
    ) -> Opened:
        """Load a graph as planned; `limits` says what a run may hold, if an engine is built.

        Raises: StartupError naming the file or the provider.
        """
