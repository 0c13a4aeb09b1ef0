"""Execution providers: which one to ask ONNX Runtime for, and with which options.

ONNX Runtime falls back to the CPU in silence, whatever its options say (microsoft/onnxruntime
#17801, #23372), so the session that comes out is checked against what was asked for.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Literal

from app.errors import StartupError
from app.inference.manifest import Dtype, Provider

Choice = Literal["auto", "cpu", "cuda"]
ORT_NAMES: Mapping[str, str] = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


@dataclass(frozen=True, slots=True)
class Plan:
    """One provider to try, and what follows from it."""

    provider: Provider
    ort_name: str
    ort_options: dict[str, str] = field(default_factory=dict)
    compute_dtype: Dtype = "float32"
    # Past what the caches hold, larger batches cost more per token: on two cores of a server CPU
    # 8×128 tokens moved as many a second as 32×32 and a tenth more than 32×128.
    run_tokens: int | None = 2048
    run_threads: int = 1


def candidates(choice: Choice, available: Collection[str]) -> list[Plan]:
    """Plans to try in order; `available` are ONNX Runtime's own provider names.

    Raises: StartupError when the provider asked for is not part of the installed package.
    """
    if choice == "cuda" and ORT_NAMES["cuda"] not in available:
        raise StartupError(
            "--provider cuda: the installed onnxruntime has no CUDA provider; install the `gpu` "
            "extra (onnxruntime-gpu) or use the image built with --target gpu"
        )
    plans = []
    if choice in {"auto", "cuda"} and ORT_NAMES["cuda"] in available:
        plans.append(_cuda())
    if choice in {"auto", "cpu"}:
        plans.append(_cpu())
    return plans


def unusable(plan: Plan, reason: str) -> StartupError:
    """What to tell an operator whose provider is installed but does not work here."""
    return StartupError(
        f"--provider {plan.provider}: ONNX Runtime could not use it ({reason}); check that a "
        "device is passed to the container and that its driver is recent enough, or use "
        "--provider cpu"
    )


def _cpu() -> Plan:
    return Plan("cpu", ORT_NAMES["cpu"])


def _cuda() -> Plan:
    options = {
        "use_tf32": "0",  # TF32 keeps 10 bits of mantissa; float32 must stay float32
        "arena_extend_strategy": "kSameAsRequested",  # the default doubles and never gives back
    }
    return Plan("cuda", ORT_NAMES["cuda"], options, run_tokens=None)
