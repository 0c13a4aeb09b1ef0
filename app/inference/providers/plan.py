"""Plan: a provider to compute with, in one precision, and what follows from it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

from app.errors import StartupError
from app.model.batch import RUN_COST, BatchLimits, ladder
from app.model.manifest import Manifest
from app.model.names import Dtype, DtypeChoice, Provider, ProviderChoice
from app.model.parts import Graph
from app.options.settings import Settings


@dataclass(frozen=True, slots=True)
class ProviderRequest:
    """An operator's request for a provider; `threads` 0 means every core the process may use."""

    provider: ProviderChoice = "auto"
    dtype: DtypeChoice = "auto"
    threads: int = 0
    devices: tuple[int, ...] = ()  # to use, if there are several GPUs; () for the first
    gpu_memory_limit: int | None = None  # bytes of each
    cache_dir: Path | None = None  # for TensorRT's engines

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return what these settings ask for."""
        return cls(
            provider=settings.provider,
            dtype=settings.dtype,
            threads=settings.threads,
            devices=settings.device_id or (),
            gpu_memory_limit=settings.gpu_memory_limit,
            cache_dir=settings.cache_dir,
        )


@dataclass(frozen=True, slots=True)
class Found:
    """The result of a provider's look at this machine."""

    fault: str | None = None  # why it cannot be used, or None
    device: str = "the processor"  # the device that would compute
    bfloat16: bool = True  # whether the device computes in it, given that the processor does
    no_int16: str | None = None  # why the provider does not compute in it, if another would
    int16_by_tiles: bool = False  # whether it does so by AMX, and comes before bfloat16


@dataclass(frozen=True, slots=True)
class Machine:
    """The abilities of this installation and this machine."""

    ort_names: frozenset[str]  # of the providers in the installed onnxruntime
    cores: int
    bfloat16: bool  # whether the processor computes in it
    found: Mapping[Provider, Found] = field(default_factory=dict)  # by the providers that looked
    arm64: bool = False  # whether the processor is Arm's

    def of(self, provider: Provider) -> Found:
        """Return what a provider found, or the defaults if it did not look."""
        return self.found.get(provider, Found())


@dataclass(frozen=True, slots=True)
class Plan:
    """One provider to try in one precision, and what follows from it."""

    provider: Provider
    reason: str  # why it was chosen, for the operator
    compute_dtype: Dtype = "float32"
    lowers: bool = False  # the provider itself lowers a float32 graph to that precision
    must_qualify: bool = False  # chosen automatically: the precision must be proved to cost little
    ort_options: dict[str, str] = field(default_factory=dict)
    devices: tuple[int, ...] = ()  # GPUs, with one session each
    gpu: str | None = None  # their names; None if the processor computes
    threads: int = 1  # that one session computes with
    run_threads: int = 1  # that call a session at a time
    single_input_threads: int = 0  # more of them, for single-input jobs
    one_long: bool = False  # only one input longer than a batch at a time, because of its memory
    run_tokens: int | None = None
    run_cost: int = RUN_COST  # of a run, in tokens
    row_counts: tuple[int, ...] = ()  # the only ones, if a new shape is expensive; () for any
    builds_engine: bool = False  # before the first run, for shapes up to the largest batch
    cache_dir: Path | None = None  # where the engine is kept
    packed: bool = False  # uses the graph without padding; if that fails there is another plan

    @property
    def name(self) -> str:
        """The name that an operator reads, such as `cpu in float32`."""
        padding = ", without padding" if self.packed else ""
        return f"{self.provider} in {self.compute_dtype}{padding}"

    def graph_in(self, manifest: Manifest) -> Graph | None:
        """Return the graph of a model that the plan computes, or None."""
        stored: Dtype = "float32" if self.lowers else self.compute_dtype
        return manifest.graph_for(self.provider, stored, packed=self.packed)

    def per_device(self) -> tuple[Self, ...]:
        """Return a plan for the session on each device; just this one without devices."""
        each = (
            replace(self, ort_options=self.ort_options | {"device_id": str(one)}, devices=(one,))
            for one in self.devices
        )
        return tuple(each) or (self,)

    def limits(self, longest_input: int, max_batch_tokens: int) -> BatchLimits:
        """Return what one run may hold, for inputs of up to `longest_input` tokens."""
        tokens = min(max_batch_tokens, self.run_tokens or max_batch_tokens)
        lengths = ladder(longest_input) if self.row_counts or self.builds_engine else ()
        limits = BatchLimits(tokens, None, lengths, self.row_counts, self.run_cost)
        return limits.capped(max(1, tokens // longest_input)) if self.builds_engine else limits


def unusable(plan: Plan, reason: str) -> StartupError:
    """Return the error for a provider that is installed but does not work here."""
    device = (
        "check that a device is passed to the container and that its driver is recent enough, or "
        if plan.gpu is not None
        else ""
    )
    return StartupError(
        f"--provider {plan.provider}: ONNX Runtime could not use it ({reason}); {device}use "
        "--provider cpu"
    )
