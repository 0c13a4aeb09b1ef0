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
from app.settings import Settings


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
class Found:
    """What a provider found of itself on this machine."""

    fault: str | None = None  # why it cannot be used; None where it can
    device: str = "the processor"  # what would compute
    bfloat16: bool = True  # whether the device has it, where the processor does


@dataclass(frozen=True, slots=True)
class Here:
    """What this installation and this machine offer."""

    ort_names: frozenset[str]  # of the providers in the installed onnxruntime
    cores: int
    bfloat16: bool  # whether the processor computes in it
    found: Mapping[Provider, Found] = field(default_factory=dict)  # of providers that looked

    def of(self, provider: Provider) -> Found:
        """What a provider found; nothing against it where there was nothing to look for."""
        return self.found.get(provider, Found())


@dataclass(frozen=True, slots=True)
class Plan:
    """One provider to try in one precision, and what follows from it."""

    provider: Provider
    reason: str  # why this one, for the operator
    compute_dtype: Dtype = "float32"
    lowers: bool = False  # computes the float32 graph in that precision by itself
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

    def graph_in(self, manifest: Manifest) -> Graph | None:
        """The graph of a model that it computes, if there is one."""
        stored: Dtype = "float32" if self.lowers else self.compute_dtype
        return manifest.graph_for(self.provider, stored, packed=self.packed)

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
        if plan.gpu is not None
        else ""
    )
    return StartupError(
        f"--provider {plan.provider}: ONNX Runtime could not use it ({reason}); {device}use "
        "--provider cpu"
    )
