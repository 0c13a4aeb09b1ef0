"""Plan: a provider to compute with, in one precision, and what follows from it.

ONNX Runtime falls back to the CPU in silence, whatever its options say (microsoft/onnxruntime
#17801, #23372): the session that comes out is compared with its plan.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

from app.errors import StartupError
from app.model.batch import RUN_COST, BatchLimits, ladder
from app.model.names import GPU_PROVIDERS, Dtype, DtypeChoice, Provider, ProviderChoice
from app.settings import Settings

ORT_NAMES: Mapping[str, str] = {
    "cpu": "CPUExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}
# What takes the time of a model. Of the rest a GPU rightly leaves a few to the CPU, which computes
# with shapes.
_COSTLY = re.compile(r"MatMul|Gemm|Attention|Normalization")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an operator asks for; `threads` 0 means every core that the process may use."""

    provider: ProviderChoice = "auto"
    dtype: DtypeChoice = "auto"
    threads: int = 0
    devices: tuple[int, ...] = ()  # of several GPUs; () for the first
    gpu_memory_limit: int | None = None  # bytes of each
    cache_dir: Path | None = None  # for what takes long to make

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """What some settings ask for."""
        return cls(
            provider=settings.provider,
            dtype=settings.dtype,
            threads=settings.threads,
            devices=settings.device_id or (),
            gpu_memory_limit=settings.gpu_memory_limit,
            cache_dir=settings.cache_dir,
        )


@dataclass(frozen=True, slots=True)
class Here:
    """What this installation and this machine offer."""

    ort_names: frozenset[str]  # of the providers in the installed onnxruntime
    cores: int
    bfloat16: bool  # whether the processor computes in it
    openvino_fault: str | None = None  # why OpenVINO cannot be used; None where it can
    gpu_fault: str | None = None  # the same of the GPU's provider, where it is installed
    gpu: str = "an NVIDIA device"  # what would compute


@dataclass(frozen=True, slots=True)
class Plan:
    """One provider to try in one precision, and what follows from it."""

    provider: Provider
    reason: str  # why this one, for the operator
    compute_dtype: Dtype = "float32"
    must_qualify: bool = False  # nobody asked for this precision: it must show that it costs little
    ort_options: dict[str, str] = field(default_factory=dict)
    devices: tuple[int, ...] = ()  # GPUs that have a session each
    gpu: str | None = None  # what they are; None of a provider that computes on the processor
    threads: int = 1  # of a session
    run_threads: int = 1  # that call a session at a time
    lone_threads: int = 0  # more of them, for inputs that came alone
    one_long: bool = False  # one input at a time that is longer than a batch, for its memory
    run_tokens: int | None = None
    run_cost: int = RUN_COST  # in tokens
    row_counts: tuple[int, ...] = ()  # where a new shape is dear: the only ones; () for any
    builds_engine: bool = False  # before the first run, for no larger shape than the largest batch
    cache_dir: Path | None = None  # where that is kept
    packed: bool = False  # by the graph without padding; where that fails there is another

    @property
    def name(self) -> str:
        """What it is, for the operator."""
        padding = ", without padding" if self.packed else ""
        return f"{self.provider} in {self.compute_dtype}{padding}"

    @property
    def ort_name(self) -> str:
        """What ONNX Runtime calls the provider."""
        return ORT_NAMES[self.provider]

    def per_device(self) -> tuple[Self, ...]:
        """A plan for the session on each of the devices; this very one where there are none."""
        each = (
            replace(self, ort_options=self.ort_options | {"device_id": str(one)}, devices=(one,))
            for one in self.devices
        )
        return tuple(each) or (self,)

    def limits(self, longest_input: int, max_batch_tokens: int) -> BatchLimits:
        """What one run may hold, for inputs of up to that many tokens."""
        tokens = min(max_batch_tokens, self.run_tokens or max_batch_tokens)
        lengths = ladder(longest_input) if self.row_counts or self.builds_engine else ()
        limits = BatchLimits(tokens, None, lengths, self.row_counts, self.run_cost)
        return limits.capped(max(1, tokens // longest_input)) if self.builds_engine else limits


def unusable(plan: Plan, reason: str) -> StartupError:
    """What to tell an operator whose provider is installed but does not work here."""
    device = (
        "check that a device is passed to the container and that its driver is recent enough, or "
        if plan.provider in GPU_PROVIDERS
        else ""
    )
    return StartupError(
        f"--provider {plan.provider}: ONNX Runtime could not use it ({reason}); {device}use "
        "--provider cpu"
    )


def misplaced(plan: Plan, placed: Iterable[tuple[str, str]]) -> str | None:
    """What of a graph is not where it was planned, from (ORT's name of a provider, operator) pairs.

    A GPU has to compute what takes time. OpenVINO has to compute everything: what it leaves over
    would run in float32 on one thread.
    """
    if plan.provider == "cpu":
        return None
    elsewhere = {
        (name, operator)
        for name, operator in placed
        if name != plan.ort_name and (plan.provider == "openvino" or _COSTLY.search(operator))
    }
    if not elsewhere:
        return None
    names, operators = ({pair[i] for pair in elsewhere} for i in range(2))
    return f"{', '.join(sorted(operators))} were placed on {', '.join(sorted(names))}"
