"""CPU: ONNX Runtime's own provider, which is always available."""

from collections.abc import Sequence
from pathlib import Path

from app.inference.providers import ort_session
from app.inference.providers.plan import Found, Machine, Plan, ProviderRequest
from app.inference.providers.provider import Offer, Opened
from app.model.batch import CPU_RUN_TOKENS, BatchLimits
from app.model.manifest import Manifest
from app.model.names import Dtype, Provider, Task
from app.model.parts import Graph

ORT_NAME = "CPUExecutionProvider"
MOST_RUNS = 8  # at a time: each takes memory


class Cpu:
    """Several runs at a time on one pool of threads: what one leaves idle, another takes."""

    name: Provider = "cpu"
    ort_name = ORT_NAME
    dtypes: Sequence[Dtype] = ("float32", "int8")
    proved: Sequence[Dtype] = dtypes
    computes_all = True

    def look(
        self, wanted: ProviderRequest, ort_names: frozenset[str], *, bfloat16: bool
    ) -> Found | None:
        """Return None: there is nothing to look for."""
        del wanted, ort_names, bfloat16
        return None

    def require(self, here: Machine) -> None:
        """Return: the provider is always available."""
        del here

    def offered(self, wanted: ProviderRequest, here: Machine, task: Task) -> Offer:
        """Offer float32, and int8 only if asked for, however close it comes."""
        return Offer(self.asked(wanted, here, task))

    def asked(self, wanted: ProviderRequest, here: Machine, task: Task) -> Sequence[Plan]:
        """Return the one plan in that precision."""
        del task
        dtype: Dtype = "int8" if wanted.dtype == "int8" else "float32"
        usual = "the provider that is always there"
        if wanted.dtype != "auto":
            usual = f"{dtype} was asked for"
        elif wanted.provider != "auto":
            usual = f"provider {wanted.provider} was asked for"
        threads = wanted.threads or here.cores
        plan = Plan(
            self.name,
            usual,
            dtype,
            threads=threads,
            run_threads=max(1, min(threads // 2, MOST_RUNS)),
            single_input_threads=1,
            one_long=True,
            run_tokens=CPU_RUN_TOKENS,
        )
        return [plan]

    def open(
        self, path: Path, plan: Plan, manifest: Manifest, graph: Graph, limits: BatchLimits | None
    ) -> Opened:
        """Open a session on the processor."""
        del manifest, graph, limits
        return Opened(ort_session.create(path, plan, plan.ort_options, ort_name=ORT_NAME))


CPU = Cpu()
