"""Session: one exported graph on one execution provider."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import get_ident
from types import MappingProxyType
from typing import Self

import onnxruntime

from app.errors import BackendFailed, StartupError
from app.inference.providers import machine
from app.inference.providers.choose import PROVIDERS, candidates
from app.inference.providers.ort_errors import backend_failure
from app.inference.providers.ort_session import require_placement
from app.inference.providers.plan import Machine, Plan, ProviderRequest
from app.inference.providers.provider import Opened
from app.model.batch import Batch, BatchLimits, Results
from app.model.manifest import Manifest
from app.model.names import OWN_GRAPHS, Dtype, Provider, Task
from app.model.parts import Graph

_BY_THE_CPU = (
    "a static model, or one that embeds queries and documents in different ways, is computed by "
    "the CPU alone"
)


class Session:
    """A loaded graph. `run` may be called from several threads at a time."""

    def __init__(
        self,
        opened: Opened,
        plan: Plan,
        graph: Graph,
        beside: "Mapping[str, Session]" = MappingProxyType({}),
    ) -> None:
        """Wrap what a provider opened.

        `beside` are sessions of further graphs, by the one output that each computes.
        """
        self._session = opened.session
        self._beside_others = opened.beside_others or opened.session
        self._holds = opened.holds
        self._inputs = frozenset(graph.inputs)
        self._beside = beside
        self._whole: Session | None = None  # of a graph with further outputs
        self._in_flight: dict[int, onnxruntime.RunOptions] = {}  # by the thread that waits
        self.plan = plan
        self.graph = graph
        self.settings = opened.settings

    @property
    def provider(self) -> Provider:
        """The provider that really runs the graph."""
        return self.plan.provider

    @property
    def compute_dtype(self) -> Dtype:
        """The precision that the provider really computes in."""
        return self.plan.compute_dtype

    @classmethod
    def load(
        cls, folder: Path, manifest: Manifest, plan: Plan, limits: BatchLimits | None = None
    ) -> Self:
        """Load the folder's graph as planned, and check that the session is what was planned.

        `limits` says what a run may hold, for a plan that builds an engine.

        Raises: StartupError naming the file or the provider, with the remedy.
        """
        graph, provider = find_graph(manifest, plan), PROVIDERS[plan.provider]
        opened = provider.open(folder / graph.file, plan, manifest, graph, limits)
        session = opened.session
        require_placement(session, plan, provider)
        session.disable_fallback()  # a failing provider must fail, not move to the CPU
        return cls(opened, plan, graph, cls._beside_it(folder, manifest, plan))

    @classmethod
    def _beside_it(cls, folder: Path, manifest: Manifest, plan: Plan) -> "dict[str, Session]":
        """Load the graphs that routes have of their own, by output.

        They are apart because a graph is run whole, even if not all of its outputs are fetched.
        """
        found, provider = {}, PROVIDERS[plan.provider]
        for route in manifest.routes:
            if (graph := route.graph) is not None:
                opened = provider.open(folder / graph.file, plan, manifest, graph, None)
                require_placement(opened.session, plan, provider)
                found[route.output] = cls(opened, plan, graph)
        return found

    def yields(self, output: str) -> bool:
        """Check whether `run` can compute an output."""
        own = output in self.graph.outputs or output in self._beside
        return own or (self._whole is not None and self._whole.yields(output))

    def add(self, whole: "Session") -> None:
        """Leave outputs that this graph lacks to another session of the same model."""
        self._whole = whole

    def run(self, batch: Batch, outputs: Sequence[str]) -> Results:
        """Compute the named outputs, each (B, …) float32.

        Raises: BackendFailed with ONNX Runtime's own words, or its subclasses OutOfMemory and
        DeviceLost.
        """
        if outputs[0] in self._beside:  # the rows of a batch all take one route
            return self._beside[outputs[0]].run(batch, outputs)
        if self._whole is None:
            return self._run(batch, outputs)
        # Each graph computes what it was proved for, even if the other one yields it as well.
        own = [name for name in outputs if name in self.graph.outputs]
        others = [name for name in outputs if name not in own]
        found = self._whole.run(batch, others) if others else {}
        return found | (self._run(batch, own) if own else {})

    def _run(self, batch: Batch, outputs: Sequence[str]) -> Results:
        if self._holds is not None and not self._holds(batch.input_ids.shape):
            shape = " × ".join(map(str, batch.input_ids.shape))
            raise BackendFailed(f"Backend error: the engine was not built for {shape} tokens")
        feed = batch.feed(self._inputs, self.graph.integers)
        session = self._beside_others if self._in_flight else self._session
        options = self._in_flight[get_ident()] = onnxruntime.RunOptions()
        try:
            results = session.run(list(outputs), feed, options)
        except Exception as error:  # onnxruntime's errors share no narrower base
            raise backend_failure(error) from error
        finally:
            del self._in_flight[get_ident()]
        return dict(zip(outputs, results, strict=True))

    def terminate(self, thread: int) -> None:
        """Make the run that this thread waits for fail at its next node; from any thread."""
        for session in (*self._beside.values(), *filter(None, [self._whole])):
            session.terminate(thread)
        if (options := self._in_flight.get(thread)) is not None:
            options.terminate = True


def plans(wanted: ProviderRequest, task: Task) -> list[Plan]:
    """Return the plans to try on this machine, in order.

    Raises: StartupError if what was asked for by name is not available.
    """
    bfloat16 = machine.computes_bfloat16()
    ort_names = frozenset(onnxruntime.get_available_providers())
    looked = {
        name: provider.look(wanted, ort_names, bfloat16=bfloat16)
        for name, provider in PROVIDERS.items()
    }
    found = {name: one for name, one in looked.items() if one is not None}
    here = Machine(ort_names, machine.usable_cores(), bfloat16, found, machine.is_arm64())
    return candidates(wanted, here, task)


def find_graph(manifest: Manifest, plan: Plan) -> Graph:
    """Return the graph that a plan computes.

    Raises: StartupError with the remedy if the model has none.
    """
    graph = plan.graph_in(manifest)
    if graph is None:
        raise StartupError(_no_graph(manifest, plan))
    return graph


def limits_of(
    manifest: Manifest, plan: Plan, longest_input: int, max_batch_tokens: int
) -> BatchLimits:
    """Return what one run of the graph that a plan computes may hold.

    Raises: StartupError with the remedy if the model has none.
    """
    return plan.limits(longest_input, max_batch_tokens).capped(find_graph(manifest, plan).rows)


def _no_graph(manifest: Manifest, plan: Plan) -> str:
    dtype = plan.compute_dtype
    if {graph.dtype for graph in manifest.graphs} == {"int8"}:
        return (
            f"--dtype {dtype}: the model's one graph is quantized to 8 bits, and the CPU computes "
            "it; use --dtype int8 or auto, and --provider cpu or auto"
        )
    if manifest.routes and (dtype in OWN_GRAPHS or dtype == "int16"):
        return f"--dtype {dtype}: {_BY_THE_CPU}, in float32; use --dtype float32"
    if dtype in OWN_GRAPHS:
        return (
            f"--dtype {dtype}: the exported model holds no {dtype} graph; run: make export "
            f"MODEL_ID={manifest.source.id} DTYPE={dtype}, or use --dtype float32"
        )
    if dtype == "int16":
        return (
            "--dtype int16: the exported model holds no int16 graph; export it again where the "
            "operators of int16 are built, or use --dtype float32"
        )
    if manifest.routes:
        return f"--provider {plan.provider}: {_BY_THE_CPU}; use --provider cpu"
    return f"the exported model holds no graph for provider {plan.provider}: export it again"
