"""Choice: which providers to try, and in which order, for what an operator asks for."""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from app.errors import StartupError
from app.inference.providers.cpu import CPU
from app.inference.providers.nvidia.cuda import CUDA
from app.inference.providers.nvidia.tensorrt import TENSORRT
from app.inference.providers.openvino import OPENVINO
from app.inference.providers.plan import Machine, Plan, ProviderRequest
from app.inference.providers.provider import ExecutionProvider
from app.model.names import Dtype, Provider, Task

# Every provider, in the order in which they are tried if any may be taken.
PROVIDERS: Mapping[Provider, ExecutionProvider] = MappingProxyType(
    {one.name: one for one in (CUDA, TENSORRT, OPENVINO, CPU)}
)
# What to say if a provider does not compute in a precision.
_LACKING: Mapping[Dtype, str] = MappingProxyType(
    {
        "float32": "provider {} does not compute in it; use --provider cpu",
        "bfloat16": "provider {} computes in float32 only; use --provider openvino or "
        "--dtype float32",
        "float16": "it is for GPUs, provider {} gains nothing by it; use --dtype float32",
        "int16": "provider {} does not compute in it; use --provider cpu or --dtype float32",
        "int8": "provider {} has no graph of that precision; use --provider cpu or --dtype float32",
    }
)


def candidates(wanted: ProviderRequest, here: Machine, task: Task) -> list[Plan]:
    """Return the plans to try, in order.

    Raises: StartupError with the remedy if what was asked for by name is not available.
    """
    if wanted.provider == "auto":
        return _offered(wanted, here, task)
    provider = PROVIDERS[wanted.provider]
    provider.require(here)
    if wanted.dtype != "auto" and wanted.dtype not in provider.dtypes:
        lacking = _LACKING[wanted.dtype].format(provider.name)
        raise StartupError(f"--dtype {wanted.dtype}: {lacking}")
    return list(provider.asked(wanted, here, task))


def _offered(wanted: ProviderRequest, here: Machine, task: Task) -> list[Plan]:
    """Return the plans of all providers; the last says why earlier ones were passed over."""
    plans: list[Plan] = []
    passed_over: list[str] = []  # by the first of the others, and by the CPU's own
    for provider in PROVIDERS.values():
        if wanted.dtype in {"auto", *provider.dtypes}:
            offer = provider.offered(wanted, here, task)
            if offer.passed_over is not None and (not passed_over or provider is CPU):
                passed_over.append(offer.passed_over)
            plans += offer.plans
    if not plans:
        raise StartupError(f"--dtype {wanted.dtype}: {passed_over[0]}; use --dtype float32")
    if here.of(CPU.name).int16_by_tiles:
        plans.sort(key=_by_tiles)
    if passed_over and plans[-1].provider == CPU.name:
        plans[-1] = replace(plans[-1], reason="; ".join(passed_over))
    return plans


def _by_tiles(plan: Plan) -> int:
    """Return the place of a plan where int16 is by tiles: behind GPUs, before bfloat16."""
    if plan.gpu is not None:
        return 0
    return 1 if plan.compute_dtype == "int16" else 2
