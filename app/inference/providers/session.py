"""Session: one exported graph on one execution provider. With `openvino`, onnxruntime's door."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from threading import get_ident
from types import MappingProxyType
from typing import Self

import onnxruntime

from app.errors import BackendFailed, StartupError
from app.inference.providers import cuda, machine, openvino, priority, tensorrt
from app.inference.providers.choose import candidates
from app.inference.providers.ort_errors import backend_failure
from app.inference.providers.plan import ORT_NAMES, Here, Plan, Wanted, misplaced, unusable
from app.model.batch import Batch, BatchLimits, Results
from app.model.manifest import Manifest
from app.model.names import GPU_PROVIDERS, OWN_GRAPHS, Dtype, Provider, Task
from app.model.parts import Graph

logger = logging.getLogger(__name__)


class Session:
    """A loaded graph. `run` may be called from several threads at a time."""

    def __init__(
        self,
        session: onnxruntime.InferenceSession,
        plan: Plan,
        graph: Graph,
        profile: tensorrt.Profile | None = None,
        beside: "Mapping[str, Session]" = MappingProxyType({}),
    ) -> None:
        """`beside` are sessions of further graphs, by the one output that each computes."""
        self._session = session
        self._profile = profile  # of the engine that was built
        self._inputs = frozenset(graph.inputs)
        self._beside = beside
        self._in_flight: dict[int, onnxruntime.RunOptions] = {}  # by the thread that waits
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
    def load(
        cls, folder: Path, manifest: Manifest, plan: Plan, limits: BatchLimits | None = None
    ) -> Self:
        """Load the folder's graph as planned, and check that what comes out is what was planned.

        `limits` is what a run may hold, for a plan that builds an engine.

        Raises: StartupError naming the file or the provider, with the remedy.
        """
        graph = find_graph(manifest, plan)
        path = folder / graph.file
        profile = None
        if plan.builds_engine:
            assert limits is not None
            profile = tensorrt.Profile.of(limits)
            session = _with_engine(path, manifest, graph, plan, profile)
        else:
            session = _create(path, plan, plan.ort_options)
        _check_placement(session, plan)
        session.disable_fallback()  # a failing provider must fail, not move to the CPU
        return cls(session, plan, graph, profile, cls._beside_it(folder, manifest, plan))

    @classmethod
    def _beside_it(cls, folder: Path, manifest: Manifest, plan: Plan) -> "dict[str, Session]":
        """The routes that have graphs of their own: a graph is run whole, whatever is asked of it.

        What one does not fetch it computes all the same.
        """
        found = {}
        for route in manifest.routes:
            if (graph := route.graph) is not None:
                session = _create(folder / graph.file, plan, plan.ort_options)
                _check_placement(session, plan)
                found[route.output] = cls(session, plan, graph)
        return found

    def run(self, batch: Batch, outputs: Sequence[str]) -> Results:
        """Compute the named outputs, each (B, …) float32.

        Raises: BackendFailed with ONNX Runtime's own words; OutOfMemory and DeviceLost among them.
        """
        if outputs[0] in self._beside:  # the rows of a batch all take one route
            return self._beside[outputs[0]].run(batch, outputs)
        if self._profile is not None and not self._profile.holds(batch.input_ids.shape):
            shape = " × ".join(map(str, batch.input_ids.shape))
            raise BackendFailed(f"Backend error: the engine was not built for {shape} tokens")
        feed = batch.feed(self._inputs)
        options = self._in_flight[get_ident()] = onnxruntime.RunOptions()
        try:
            results = self._session.run(list(outputs), feed, options)
        except Exception as error:  # onnxruntime's errors share no narrower base
            raise backend_failure(error) from error
        finally:
            del self._in_flight[get_ident()]
        return dict(zip(outputs, results, strict=True))

    def terminate(self, thread: int) -> None:
        """Let the run that this thread waits for fail at its next node; from any thread."""
        for session in self._beside.values():
            session.terminate(thread)
        if (options := self._in_flight.get(thread)) is not None:
            options.terminate = True


def plans(wanted: Wanted, task: Task) -> list[Plan]:
    """What to try on this machine, in order.

    Raises: StartupError when what was asked for by name cannot be had here.
    """
    bfloat16 = machine.computes_bfloat16()
    asked = wanted.provider == "openvino" or wanted.dtype == "bfloat16"
    if asked or (bfloat16 and (wanted.provider, wanted.dtype) == ("auto", "auto")):
        found = openvino.find()
    else:
        found = openvino.Found(fault="OpenVINO was not asked for")  # loading it takes memory
    ort_names = frozenset(onnxruntime.get_available_providers())
    gpu = {}
    if wanted.provider in {"auto", *GPU_PROVIDERS} and ORT_NAMES["cuda"] in ort_names:
        gpu = _look_for_gpu(wanted)
    here = Here(
        ort_names=ort_names,
        cores=machine.usable_cores(),
        bfloat16=bfloat16 and (found.bfloat16 or found.fault is not None),
        openvino_fault=found.fault,
        **gpu,
    )
    return candidates(wanted, here, task)


def _look_for_gpu(wanted: Wanted) -> dict[str, str]:
    """What `Here` says of the devices: their names, or why they cannot be used."""
    devices = wanted.devices or (0,)
    fault = cuda.fault(devices)
    if fault is None and wanted.provider == "tensorrt":
        fault = tensorrt.fault()
    if fault is None:
        return {"gpu": ", ".join(sorted(set(map(cuda.describe, devices))))}
    if wanted.provider == "auto":
        logger.warning("the CUDA provider is not used: %s", fault)
    return {"gpu_fault": fault}


def find_graph(manifest: Manifest, plan: Plan) -> Graph:
    """The graph that a plan computes.

    Raises: StartupError with the remedy where the model has none.
    """
    graph = manifest.graph_for(plan.provider, plan.compute_dtype, packed=plan.packed)
    if graph is None:
        raise StartupError(_no_graph(manifest, plan))
    return graph


def limits_of(
    manifest: Manifest, plan: Plan, longest_input: int, max_batch_tokens: int
) -> BatchLimits:
    """What one run of the graph that a plan computes may hold.

    Raises: StartupError with the remedy where the model has none.
    """
    return plan.limits(longest_input, max_batch_tokens).capped(find_graph(manifest, plan).rows)


def _no_graph(manifest: Manifest, plan: Plan) -> str:
    dtype = plan.compute_dtype
    if {graph.dtype for graph in manifest.graphs} == {"int8"}:
        return (
            f"--dtype {dtype}: the model's one graph is quantized to 8 bits, and the CPU computes "
            "it; use --dtype int8 or auto, and --provider cpu or auto"
        )
    if dtype in OWN_GRAPHS:
        return (
            f"--dtype {dtype}: the exported model holds no {dtype} graph; run: make export "
            f"MODEL_ID={manifest.source.id} DTYPE={dtype}, or use --dtype float32"
        )
    if manifest.routes:
        return (
            f"--provider {plan.provider}: a static model, or one that embeds queries and documents "
            "in different ways, is computed by the CPU alone; use --provider cpu"
        )
    return f"the exported model holds no graph for provider {plan.provider}: export it again"


def _create(path: Path, plan: Plan, ort_options: Mapping[str, str]) -> onnxruntime.InferenceSession:
    options = _session_options(plan)
    arguments = {}
    if plan.provider == "openvino":
        options.add_provider_for_devices([openvino.find().device], ort_options)
    else:
        arguments["providers"] = [(plan.ort_name, ort_options)]
    try:
        with priority.giving_way():
            return onnxruntime.InferenceSession(path, options, enable_fallback=0, **arguments)
    except Exception as error:  # noqa: BLE001  # onnxruntime's errors share no narrower base
        reason = " ".join(str(error).split())
        if plan.provider in GPU_PROVIDERS:
            raise unusable(plan, reason) from None
        raise StartupError(f"{path} cannot be loaded: {reason}") from None


def _with_engine(
    path: Path, manifest: Manifest, graph: Graph, plan: Plan, profile: tensorrt.Profile
) -> onnxruntime.InferenceSession:
    """A session over an engine that is built now, or was built before."""
    [device] = plan.devices
    platform = (
        f"{cuda.describe(device)} onnxruntime{onnxruntime.__version__} "
        f"tensorrt{tensorrt.version()} cuda{cuda.cuda_version()}"
    )
    chosen = tensorrt.options(graph.inputs, profile, plan.compute_dtype)
    name = tensorrt.engine_name(manifest.files, graph.file, chosen)
    tensorrt.keep_float32()
    with tensorrt.kept(plan.cache_dir, platform, name) as folder:
        options = plan.ort_options | chosen | tensorrt.caches(folder)
        return tensorrt.patiently(lambda: _create(path, plan, options))


def _session_options(plan: Plan) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = plan.threads  # the default counts the host's cores, pins them
    options.inter_op_num_threads = 1
    options.enable_mem_pattern = False  # plans are kept per shape, and shapes never repeat
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    if plan.compute_dtype == "int8" and not machine.sums_bytes_exactly():
        options.add_session_config_entry("session.x64quantprecision", "1")  # slower, and right
    return options


def _check_placement(session: onnxruntime.InferenceSession, plan: Plan) -> None:
    """Raise StartupError unless the provider is there, and computes what it has to."""
    first = session.get_providers()[0]
    if first != plan.ort_name:
        raise unusable(plan, f"got {first} instead")
    parts = session.get_provider_graph_assignment_info()
    placed = [(part.ep_name, node.op_type) for part in parts for node in part.get_nodes()]
    if (fault := misplaced(plan, placed)) is not None:
        raise unusable(plan, fault)
