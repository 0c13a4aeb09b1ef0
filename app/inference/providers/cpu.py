"""CPU: ONNX Runtime's own provider, which is always available."""

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

ORT_NAME = "CPUExecutionProvider"
MOST_RUNS = 8  # at a time: each takes memory


class Cpu:
    """Several runs at a time on one pool of threads: what one leaves idle, another takes."""

    name: Provider = "cpu"
    ort_name = ORT_NAME
    dtypes: Sequence[Dtype] = ("float32", "bfloat16", "int8")
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
        """Offer bfloat16 on Arm and float32, and int8 only if asked for, however close it comes."""
        why = _why_not_bfloat16(wanted, here, task)
        if wanted.dtype == "bfloat16" and why is not None:
            return Offer(passed_over=why)
        told = why if here.arm64 and wanted.dtype == "auto" else None
        return Offer(self.asked(wanted, here, task), told)

    def asked(self, wanted: ProviderRequest, here: Machine, task: Task) -> Sequence[Plan]:
        """Return the plan in that precision; on Arm bfloat16 before float32 if none was named."""
        why = _why_not_bfloat16(wanted, here, task)
        if wanted.dtype == "bfloat16" and why is not None:
            other = "" if here.arm64 else "--provider openvino or "
            raise StartupError(f"--dtype bfloat16: {why}; use {other}--dtype float32")
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
        if why is not None:
            return [plan]
        asked = wanted.dtype == "bfloat16"
        return [_lowered(plan, asked=asked), *([] if asked else [plan])]

    def open(
        self, path: Path, plan: Plan, manifest: Manifest, graph: Graph, limits: BatchLimits | None
    ) -> Opened:
        """Open a session on the processor."""
        del manifest, graph, limits
        return Opened(ort_session.create(path, plan, plan.ort_options, ort_name=ORT_NAME))


def _why_not_bfloat16(wanted: ProviderRequest, here: Machine, task: Task) -> str | None:
    """Return why bfloat16 is not tried, or None if it is: ONNX Runtime has it on Arm only.

    It rounds both factors of a matrix product to bfloat16 and adds in float32.
    """
    if wanted.dtype not in {"auto", "bfloat16"}:
        return f"{wanted.dtype} was asked for"
    if not here.arm64:
        return "provider cpu computes in it on Arm's processors only"
    if wanted.dtype == "auto" and task not in VECTOR_TASKS:
        return "scores are computed in float32 unless bfloat16 is asked for"
    return None if here.bfloat16 else "this processor does not compute in bfloat16 (it has no bf16)"


def _lowered(exact: Plan, *, asked: bool) -> Plan:
    """Return the plan in bfloat16 beside one in float32; it has to qualify unless asked for."""
    why = "the processor computes in it, and it costs this model little"
    return replace(
        exact,
        reason="bfloat16 was asked for" if asked else why,
        compute_dtype="bfloat16",
        lowers=True,
        must_qualify=not asked,
    )


CPU = Cpu()
