"""CUDA: ONNX Runtime's provider for NVIDIA's GPUs."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from app.inference.providers import ort_session
from app.inference.providers.nvidia import driver
from app.inference.providers.plan import Found, Machine, Plan, ProviderRequest
from app.inference.providers.provider import VECTOR_TASKS, Offer, Opened
from app.model.batch import BatchLimits
from app.model.manifest import Manifest
from app.model.names import Dtype, Provider, Task
from app.model.parts import Graph

logger = logging.getLogger(__name__)

ORT_NAME = "CUDAExecutionProvider"


class Cuda:
    """Float16 if the model has a graph of it, else float32; float16 scores only if asked for."""

    name: Provider = "cuda"
    ort_name = ORT_NAME
    dtypes: Sequence[Dtype] = ("float32", "float16")
    proved: Sequence[Dtype] = dtypes
    computes_all = False  # it rightly leaves to the CPU a few operators that compute with shapes

    def look(
        self, wanted: ProviderRequest, ort_names: frozenset[str], *, bfloat16: bool
    ) -> Found | None:
        """Ask the driver for the devices; ONNX Runtime itself would only print what is missing."""
        del bfloat16
        if wanted.provider not in {"auto", self.name} or ORT_NAME not in ort_names:
            return None
        found = driver.found(wanted.devices or (0,))
        if found.fault is not None and wanted.provider == "auto":
            logger.warning("the CUDA provider is not used: %s", found.fault)
        return found

    def require(self, here: Machine) -> None:
        """Raise StartupError if this installation or the machine lacks what it needs."""
        driver.require(self.name, "CUDA", ORT_NAME, here)

    def offered(self, wanted: ProviderRequest, here: Machine, task: Task) -> Offer:
        """Offer all that it has; tell what is missing only if it is installed or was asked for."""
        if ORT_NAME not in here.ort_names:
            lacking = "it is for GPUs, and the installed onnxruntime has no CUDA provider"
            return Offer(passed_over=lacking if wanted.dtype == "float16" else None)
        if (fault := here.of(self.name).fault) is not None:
            return Offer(passed_over=fault)
        return Offer(self.asked(wanted, here, task))

    def asked(self, wanted: ProviderRequest, here: Machine, task: Task) -> Sequence[Plan]:
        """Return the plans for float16 without padding, float16, and float32."""
        exact = self._exact(wanted, here)
        if wanted.dtype == "float32" or (wanted.dtype == "auto" and task not in VECTOR_TASKS):
            return [exact]
        auto = wanted.dtype == "auto"
        half = replace(
            exact,
            reason=f"{exact.reason}, in float16 it costs the model little" if auto else "asked for",
            compute_dtype="float16",
            must_qualify=auto,
        )
        return [replace(half, packed=True), half, *([exact] if auto else [])]

    def open(
        self, path: Path, plan: Plan, manifest: Manifest, graph: Graph, limits: BatchLimits | None
    ) -> Opened:
        """Open a session on one device."""
        del manifest, graph, limits
        return Opened(ort_session.create(path, plan, plan.ort_options, ort_name=ORT_NAME))

    def _exact(self, wanted: ProviderRequest, here: Machine) -> Plan:
        devices, gpu = wanted.devices or (0,), here.of(self.name).device
        options = {
            "device_id": str(devices[0]),
            "use_tf32": "0",  # TF32 keeps 10 bits of mantissa; float32 must stay float32
            "arena_extend_strategy": "kSameAsRequested",  # the default doubles, never gives back
            "cudnn_conv_algo_search": "HEURISTIC",  # the default tries all for each new shape
        }
        if wanted.gpu_memory_limit is not None:
            options["gpu_mem_limit"] = str(wanted.gpu_memory_limit)
        return Plan(
            self.name,
            f"{gpu} can be used",
            ort_options=options,
            devices=devices,
            gpu=gpu,
            threads=wanted.threads or here.cores,
            run_cost=driver.RUN_COST,
        )


CUDA = Cuda()
