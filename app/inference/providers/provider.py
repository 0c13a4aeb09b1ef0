"""Execution provider: what each of them says of itself, in a module of its own."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import onnxruntime

from app.inference.providers.plan import Found, Here, Plan, Wanted
from app.model.batch import BatchLimits
from app.model.manifest import Manifest
from app.model.names import Dtype, Provider, Task
from app.model.parts import Graph

VECTOR_TASKS = ("embedding", "splade", "multi_vector")


@dataclass(frozen=True, slots=True)
class Offer:
    """What a provider would have tried where the choice is not the operator's."""

    plans: Sequence[Plan] = ()  # the best first
    passed_over: str | None = None  # why there are none, if somebody should hear of it


@dataclass(frozen=True, slots=True, eq=False)
class Opened:
    """A session of ONNX Runtime."""

    session: onnxruntime.InferenceSession
    holds: Callable[[tuple[int, ...]], bool] | None = None  # whether a shape can be run; all can


class ExecutionProvider(Protocol):
    """One way of ONNX Runtime to compute a graph."""

    name: Provider
    ort_name: str  # what ONNX Runtime calls it
    dtypes: Sequence[Dtype]  # that it computes in
    proved: Sequence[Dtype]  # that an export proves where it is there
    computes_all: bool  # or leaves to others what takes no time

    def look(self, wanted: Wanted, ort_names: frozenset[str], *, bfloat16: bool) -> Found | None:
        """Look at this machine; None where nobody would have it, since looking costs something."""

    def offered(self, wanted: Wanted, here: Here, task: Task) -> Offer:
        """What to try where any provider may be taken, in a precision that it computes in."""

    def asked(self, wanted: Wanted, here: Here, task: Task) -> Sequence[Plan]:
        """What to try where it was asked for by name, in a precision that it computes in.

        Raises: StartupError with the remedy where it cannot be had.
        """

    def require(self, here: Here) -> None:
        """Raise StartupError with the remedy where it cannot be used here."""

    def open(
        self, path: Path, plan: Plan, manifest: Manifest, graph: Graph, limits: BatchLimits | None
    ) -> Opened:
        """Load a graph as planned; `limits` is what a run may hold, for one that builds an engine.

        Raises: StartupError naming the file or the provider.
        """
