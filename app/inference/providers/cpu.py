"""CPU: ONNX Runtime's own provider, which is always available.

It computes in int16 by operators of our own, where their library is built and the processor fits.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from app.errors import StartupError
from app.inference.providers import ort_session
from app.inference.providers.plan import Found, Machine, Plan, ProviderRequest
from app.inference.providers.provider import VECTOR_TASKS, Offer, Opened
from app.model.batch import CPU_RUN_TOKENS, BatchLimits
from app.model.manifest import Manifest
from app.model.names import Dtype, Provider, Task
from app.model.parts import Graph
from app.operators import library

ORT_NAME = "CPUExecutionProvider"
MOST_RUNS = 8  # at a time: each takes memory


class Cpu:
    """Several runs at a time on one pool of threads: what one leaves idle, another takes."""

    name: Provider = "cpu"
    ort_name = ORT_NAME
    dtypes: Sequence[Dtype] = ("float32", "int8", "int16")
    proved: Sequence[Dtype] = dtypes
    computes_all = True

    def look(
        self, wanted: ProviderRequest, ort_names: frozenset[str], *, bfloat16: bool
    ) -> Found | None:
        """Look for the operators of int16 if that may be chosen."""
        del ort_names, bfloat16
        asked = wanted.provider in {"auto", self.name} and wanted.dtype in {"auto", "int16"}
        return Found(no_int16=library.fault()) if asked else None

    def require(self, here: Machine) -> None:
        """Return: the provider is always available."""
        del here

    def offered(self, wanted: ProviderRequest, here: Machine, task: Task) -> Offer:
        """Offer int16 and float32, and int8 only if asked for, however close it comes."""
        return Offer(self.asked(wanted, here, task), _faster(wanted, here, task))

    def asked(self, wanted: ProviderRequest, here: Machine, task: Task) -> Sequence[Plan]:
        """Return a plan in that precision; if none was named, for vectors int16 before float32."""
        if wanted.dtype == "int16" and (lacking := here.of(self.name).no_int16) is not None:
            raise StartupError(f"--dtype int16: {lacking}; or use --dtype float32")
        if wanted.dtype != "auto":
            return [self._plan(wanted.dtype, f"{wanted.dtype} was asked for", wanted, here)]
        usual = "the provider that is always there"
        if wanted.provider != "auto":
            usual = f"provider {wanted.provider} was asked for"
        why = "; ".join(filter(None, [usual, _faster(wanted, here, task)]))
        exact = self._plan("float32", why, wanted, here)
        if task not in VECTOR_TASKS or here.of(self.name).no_int16 is not None:
            return [exact]
        why = "the processor multiplies in it, and it costs this model little"
        return [replace(exact, reason=why, compute_dtype="int16", must_qualify=True), exact]

    def _plan(self, dtype: Dtype, reason: str, wanted: ProviderRequest, here: Machine) -> Plan:
        threads = wanted.threads or here.cores
        return Plan(
            self.name,
            reason,
            dtype,
            threads=threads,
            run_threads=max(1, min(threads // 2, MOST_RUNS)),
            single_input_threads=1,
            one_long=True,
            run_tokens=CPU_RUN_TOKENS,
        )

    def open(
        self, path: Path, plan: Plan, manifest: Manifest, graph: Graph, limits: BatchLimits | None
    ) -> Opened:
        """Open a session on the processor."""
        del manifest, graph, limits
        return Opened(ort_session.create(path, plan, plan.ort_options, ort_name=ORT_NAME))


def _faster(wanted: ProviderRequest, here: Machine, task: Task) -> str | None:
    """Say what would be faster and why it is not tried, or return None if nothing would be."""
    lacking = here.of(CPU.name).no_int16
    if lacking is None or wanted.dtype != "auto" or task not in VECTOR_TASKS:
        return None
    return f"int16 would be faster, but {lacking}"


CPU = Cpu()
