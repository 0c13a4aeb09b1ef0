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
from app.model.batch import RUN_COST, BatchLimits
from app.model.manifest import Manifest
from app.model.names import Dtype, Provider, Task
from app.model.parts import Graph
from app.operators import library

ORT_NAME = "CPUExecutionProvider"
MOST_RUNS = 8  # at a time: each takes memory
# Tokens of one run: what lies between its operators then stays in the caches of a core, which makes
# a token 4 to 7 % cheaper than in runs of 1,024 (AMD Zen 5, all-MiniLM-L6-v2, float32 and int16).
RUN_TOKENS = 512
# In int16 a run costs less before its first token, as every operator reads half the weights.
INT16_RUN_COST = 8


class Cpu:
    """Several runs at a time on one pool of threads: what one leaves idle, another takes."""

    name: Provider = "cpu"
    ort_name = ORT_NAME
    dtypes: Sequence[Dtype] = ("float32", "bfloat16", "int8", "int16")
    proved: Sequence[Dtype] = dtypes
    computes_all = True

    def look(
        self, wanted: ProviderRequest, ort_names: frozenset[str], *, bfloat16: bool
    ) -> Found | None:
        """Look for the operators of int16 if that may be chosen."""
        del ort_names, bfloat16
        asked = wanted.provider in {"auto", self.name} and wanted.dtype in {"auto", "int16"}
        if not asked:
            return None
        return Found(no_int16=library.fault(), int16_by_tiles=library.best() == library.TILES)

    def require(self, here: Machine) -> None:
        """Return: the provider is always available."""
        del here

    def offered(self, wanted: ProviderRequest, here: Machine, task: Task) -> Offer:
        """Offer what `asked` returns, unless that refuses bfloat16."""
        why = _why_not_bfloat16(wanted, here, task)
        if wanted.dtype == "bfloat16" and why is not None:
            return Offer(passed_over=why)
        return Offer(self.asked(wanted, here, task), _faster(wanted, here, task))

    def asked(self, wanted: ProviderRequest, here: Machine, task: Task) -> Sequence[Plan]:
        """Return the plan in that precision; if none was named, for vectors a faster one before it.

        That is bfloat16 on Arm's processors and int16 on others; int8 is taken by name only,
        however close it comes.
        """
        no_bfloat16, no_int16 = _why_not_bfloat16(wanted, here, task), here.of(self.name).no_int16
        if wanted.dtype == "bfloat16" and no_bfloat16 is not None:
            other = "" if here.arm64 else "--provider openvino or "
            raise StartupError(f"--dtype bfloat16: {no_bfloat16}; use {other}--dtype float32")
        if wanted.dtype == "int16" and no_int16 is not None:
            raise StartupError(f"--dtype int16: {no_int16}; or use --dtype float32")
        if wanted.dtype != "auto":
            return [self._plan(wanted.dtype, f"{wanted.dtype} was asked for", wanted, here)]
        usual = "the provider that is always there"
        if wanted.provider != "auto":
            usual = f"provider {wanted.provider} was asked for"
        faster = []
        if no_bfloat16 is None:
            faster.append(self._plan("bfloat16", "the processor computes in it", wanted, here))
        if no_int16 is None and task in VECTOR_TASKS:
            faster.append(self._plan("int16", "the processor multiplies in it", wanted, here))
        why = "; ".join(filter(None, [usual, _faster(wanted, here, task)]))
        return [*map(_qualified, faster), self._plan("float32", why, wanted, here)]

    def _plan(self, dtype: Dtype, reason: str, wanted: ProviderRequest, here: Machine) -> Plan:
        threads = wanted.threads or here.cores
        runs = threads if dtype == "int16" else threads // 2
        return Plan(
            self.name,
            reason,
            dtype,
            lowers=dtype == "bfloat16",
            threads=threads,
            run_threads=max(1, min(runs, MOST_RUNS)),
            single_input_threads=1,
            one_long=True,
            run_tokens=RUN_TOKENS,
            run_cost=INT16_RUN_COST if dtype == "int16" else RUN_COST,
        )

    def open(
        self, path: Path, plan: Plan, manifest: Manifest, graph: Graph, limits: BatchLimits | None
    ) -> Opened:
        """Open a session on the processor."""
        del manifest, graph, limits
        session = ort_session.create(path, plan, plan.ort_options, ort_name=ORT_NAME)
        if plan.compute_dtype != "int16" or plan.threads == 1:
            return Opened(session)
        # Runs share what there is beside the thread of each.
        fewer = replace(plan, threads=plan.threads - plan.run_threads + 1)
        return Opened(
            session,
            beside_others=ort_session.create(path, fewer, plan.ort_options, ort_name=ORT_NAME),
        )


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


def _qualified(plan: Plan) -> Plan:
    """Return a plan that is followed only if the model's certificate allows it."""
    reason = f"{plan.reason}, and it costs this model little"
    return replace(plan, reason=reason, must_qualify=True)


def _faster(wanted: ProviderRequest, here: Machine, task: Task) -> str | None:
    """Say what would be faster and why it is not tried, or return None if nothing would be."""
    if wanted.dtype != "auto":
        return None
    if here.arm64:
        return _why_not_bfloat16(wanted, here, task)
    lacking = here.of(CPU.name).no_int16
    if lacking is None or task not in VECTOR_TASKS:
        return None
    return f"int16 would be faster, but {lacking}"


CPU = Cpu()
