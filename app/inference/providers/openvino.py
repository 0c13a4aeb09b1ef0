"""OpenVINO: its plug-in for ONNX Runtime, and the device that it offers here."""

import functools
import importlib.util
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import onnxruntime

from app.errors import StartupError
from app.inference.providers import machine, ort_session
from app.inference.providers.plan import Found, Machine, Plan, ProviderRequest
from app.inference.providers.provider import VECTOR_TASKS, Offer, Opened
from app.model.batch import CPU_RUN_TOKENS, BatchLimits
from app.model.manifest import Manifest
from app.model.names import Dtype, Provider, Task
from app.model.parts import Graph

PACKAGE = "onnxruntime_ep_openvino"
ORT_NAME = "OpenVINOExecutionProvider"
_NAME = "openvino"  # the name the plug-in is registered under
_CONFIG = "load_config"  # its option that holds OpenVINO's properties, by device, in JSON
NO_BFLOAT16 = (
    "this processor does not compute in bfloat16 (it has neither amx_bf16 nor avx512_bf16)"
)
_HINTS = {"bfloat16": "bf16", "float32": "f32"}  # OpenVINO's names of precisions
# Attention as two products and a softmax, and not as one piece of code made for it: with AMX that
# is faster for texts that are short, but it holds all scores of a run, heads × tokens².
APART = ("SNIPPETS_MODE", "DISABLE")
SHORT = 512  # tokens of the longest input for which it is used


@dataclass(frozen=True, slots=True)
class PlugIn:
    """The device to compute on, or why there is none."""

    device: onnxruntime.OrtEpDevice | None = None
    fault: str | None = None
    bfloat16: bool = False  # whether OpenVINO says that the device computes in it


@functools.cache
def find() -> PlugIn:
    """Register the plug-in, once per process, and look for its CPU device."""
    if importlib.util.find_spec(PACKAGE) is None:
        return PlugIn(
            fault="the OpenVINO plug-in is not installed; install the `openvino` extra, which "
            "there is for x86-64"
        )
    import onnxruntime_ep_openvino

    try:
        onnxruntime.register_execution_provider_library(
            _NAME, onnxruntime_ep_openvino.get_library_path()
        )
    except Exception as error:  # noqa: BLE001  # onnxruntime's errors share no narrower base
        return PlugIn(fault=f"the OpenVINO plug-in cannot be loaded: {error}")
    for device in onnxruntime.get_ep_devices():
        if device.ep_name == ORT_NAME and device.ep_metadata.get("ov_device") == "CPU":
            capabilities = device.ep_metadata.get("OPTIMIZATION_CAPABILITIES", "").split()
            return PlugIn(device, bfloat16="BF16" in capabilities)
    return PlugIn(
        fault="the OpenVINO plug-in offers no CPU device here; up to version 1.8 it takes "
        "Intel's processors only"
    )


class OpenVino:
    """Several runs at a time, each on one core, give the best throughput; a new shape costs memory.

    It chooses bfloat16 by itself if the processor has it, so each plan states its precision.
    """

    name: Provider = "openvino"
    ort_name = ORT_NAME
    dtypes: Sequence[Dtype] = ("float32", "bfloat16")
    proved: Sequence[Dtype] = dtypes
    computes_all = True

    def look(
        self, wanted: ProviderRequest, ort_names: frozenset[str], *, bfloat16: bool
    ) -> Found | None:
        """Look for the plug-in's device if it may be chosen; loading it takes memory."""
        del ort_names
        asked = wanted.provider == self.name or wanted.dtype == "bfloat16"
        if not asked and not (bfloat16 and (wanted.provider, wanted.dtype) == ("auto", "auto")):
            return None
        found = find()
        return Found(found.fault, bfloat16=found.bfloat16 or found.fault is not None)

    def require(self, here: Machine) -> None:
        """Raise StartupError if there is no device."""
        if (fault := here.of(self.name).fault) is not None:
            raise StartupError(f"--provider {self.name}: {fault}; use --provider cpu")

    def offered(self, wanted: ProviderRequest, here: Machine, task: Task) -> Offer:
        """Offer bfloat16 for vectors if processor and device have it."""
        if here.arm64:  # for which there is no plug-in
            return Offer()
        if (why := self._why_not_bfloat16(wanted, here, task)) is not None:
            return Offer(passed_over=why)
        return Offer([self._plan("bfloat16", wanted, here)])

    def asked(self, wanted: ProviderRequest, here: Machine, task: Task) -> Sequence[Plan]:
        """Return bfloat16 if it may be used, and float32 unless bfloat16 was asked for."""
        why = self._why_not_bfloat16(wanted, here, task)
        if wanted.dtype == "bfloat16" and why is not None:
            raise StartupError(f"--dtype bfloat16: {why}; use --dtype float32")
        plans = [] if why is not None else [self._plan("bfloat16", wanted, here)]
        if wanted.dtype != "bfloat16":
            plans.append(self._plan("float32", wanted, here, why))
        return plans

    def open(
        self, path: Path, plan: Plan, manifest: Manifest, graph: Graph, limits: BatchLimits | None
    ) -> Opened:
        """Open a session on the plug-in's device."""
        del limits
        device = find().device
        short = manifest.max_input_length <= SHORT and graph.providers == (self.name,)
        if short and plan.compute_dtype == "bfloat16" and machine.multiplies_tiles():
            # It is not documented, so it may go; OpenVINO refuses what it does not know.
            options = _with_property(plan.ort_options, *APART)
            with suppress(StartupError):
                session = ort_session.create(path, plan, options, device=device)
                return Opened(session, settings=("=".join(APART),))
        return Opened(ort_session.create(path, plan, plan.ort_options, device=device))

    def _why_not_bfloat16(self, wanted: ProviderRequest, here: Machine, task: Task) -> str | None:
        """Return why bfloat16 is not tried, or None if it is."""
        found = here.of(self.name)
        lacking = None if here.bfloat16 and found.bfloat16 else NO_BFLOAT16
        if wanted.dtype == "bfloat16":
            return found.fault or lacking
        if wanted.dtype != "auto":
            return f"{wanted.dtype} was asked for"
        if task not in VECTOR_TASKS:
            return "scores are computed in float32 unless bfloat16 is asked for"
        return lacking or found.fault

    def _plan(
        self, dtype: Dtype, wanted: ProviderRequest, here: Machine, reason: str | None = None
    ) -> Plan:
        auto = dtype == "bfloat16" and wanted.dtype == "auto"
        why = "the processor computes in it, and it costs this model little" if auto else reason
        threads = wanted.threads or here.cores
        properties = {
            "INFERENCE_PRECISION_HINT": _HINTS[dtype],
            "INFERENCE_NUM_THREADS": str(threads),
            "NUM_STREAMS": str(threads),
            "CPU_RUNTIME_CACHE_CAPACITY": "64",
            # Pinned threads of two servers on one machine would share cores and leave others idle.
            "ENABLE_CPU_PINNING": "NO",
        }
        return Plan(
            self.name,
            why or f"{dtype} was asked for",
            compute_dtype=dtype,
            lowers=True,
            must_qualify=auto,
            ort_options={_CONFIG: json.dumps({"CPU": properties})},
            run_threads=threads,
            run_tokens=CPU_RUN_TOKENS,
            row_counts=(1, 2, 4, 8, 16),
        )


def _with_property(options: Mapping[str, str], name: str, value: str) -> dict[str, str]:
    config = json.loads(options[_CONFIG])
    config["CPU"][name] = value
    return {**options, _CONFIG: json.dumps(config)}


OPENVINO = OpenVino()
