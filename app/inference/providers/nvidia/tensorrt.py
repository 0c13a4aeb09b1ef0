"""TensorRT: ONNX Runtime's provider that compiles a graph for one GPU, which takes minutes."""

from collections.abc import Sequence
from pathlib import Path

import onnxruntime

from app.inference.providers import ort_session
from app.inference.providers.nvidia import driver, engine
from app.inference.providers.plan import Found, Machine, Plan, ProviderRequest
from app.inference.providers.provider import Offer, Opened
from app.model.batch import BatchLimits
from app.model.manifest import Manifest
from app.model.names import Dtype, Provider, Task
from app.model.parts import Graph

ORT_NAME = "TensorrtExecutionProvider"


class TensorRt:
    """An engine for all shapes up to the largest batch, in the precision that was asked for."""

    name: Provider = "tensorrt"
    ort_name = ORT_NAME
    dtypes: Sequence[Dtype] = ("float32", "float16")
    proved: Sequence[Dtype] = ()  # an engine takes too long to build for each export
    computes_all = False  # as CUDA's

    def look(
        self, wanted: ProviderRequest, ort_names: frozenset[str], *, bfloat16: bool
    ) -> Found | None:
        """Ask the driver for the devices, and look for TensorRT's own libraries."""
        del bfloat16
        if wanted.provider != self.name or ORT_NAME not in ort_names:
            return None
        return driver.found(wanted.devices or (0,), engine.fault)

    def require(self, here: Machine) -> None:
        """Raise StartupError if this installation or the machine lacks what it needs."""
        driver.require(self.name, "TensorRT", ORT_NAME, here)

    def offered(self, wanted: ProviderRequest, here: Machine, task: Task) -> Offer:
        """Offer nothing: an engine takes minutes to build, so it must be asked for."""
        del wanted, here, task
        return Offer()

    def asked(self, wanted: ProviderRequest, here: Machine, task: Task) -> Sequence[Plan]:
        """Return the one plan in that precision."""
        del task
        devices = wanted.devices or (0,)
        dtype: Dtype = "float16" if wanted.dtype == "float16" else "float32"
        plan = Plan(
            self.name,
            "it was asked for",
            compute_dtype=dtype,
            lowers=True,
            ort_options={"device_id": str(devices[0])},
            devices=devices,
            gpu=here.of(self.name).device,
            threads=wanted.threads or here.cores,
            run_cost=driver.RUN_COST,
            builds_engine=True,
            cache_dir=wanted.cache_dir,
        )
        return [plan]

    def open(
        self, path: Path, plan: Plan, manifest: Manifest, graph: Graph, limits: BatchLimits | None
    ) -> Opened:
        """Open a session over an engine that is built now, or was built before."""
        assert limits is not None
        profile = engine.Profile.of(limits)
        [device] = plan.devices
        platform = (
            f"{driver.describe(device)} onnxruntime{onnxruntime.__version__} "
            f"tensorrt{engine.version()} cuda{driver.cuda_version()}"
        )
        chosen = engine.options(graph.inputs, profile, plan.compute_dtype)
        name = engine.engine_name(manifest.files, graph.file, chosen)
        engine.keep_float32()
        with engine.engine_folder(plan.cache_dir, platform, name) as folder:
            options = plan.ort_options | chosen | engine.caches(folder)
            session = engine.build_in_thread(
                lambda: ort_session.create(path, plan, options, ort_name=ORT_NAME)
            )
        return Opened(session, profile.holds)


TENSORRT = TensorRt()
