"""Shared: what all models of one process have together, so that its bounds are those of one."""

from dataclasses import dataclass
from typing import Self

from app.inference.batching.turns import Turns
from app.inference.permits import Permits
from app.inference.providers import machine
from app.inference.reuse.reuse import open_store
from app.inference.reuse.row_store import RowStore
from app.inference.tokenizing.slice_scheduler import SliceScheduler
from app.options.settings import Settings
from app.telemetry.metrics import Metrics

MOST_TOKENIZATION_WORKERS = 64  # unless more are asked for


@dataclass(frozen=True, slots=True)
class Shared:
    """Permits by model, threads that tokenize, turns to compute, and rows that are known."""

    permits: list[Permits]
    tokenizing: SliceScheduler
    turns: Turns | None  # None for a model that is alone
    store: RowStore
    are_several: bool = False  # models, so that each is named where it is counted or logged

    @classmethod
    def of(cls, settings: Settings, metrics: Metrics, *, are_several: bool = False) -> Self:
        """Make what these settings ask for, counted in `metrics`; its threads run until `close`."""
        workers = min(max(machine.usable_cores() - 1, 1), MOST_TOKENIZATION_WORKERS)
        return cls(
            [],
            SliceScheduler(settings.tokenization_workers or workers, "tokenize"),
            Turns() if are_several else None,
            open_store(settings.cache_bytes, metrics),
            are_several,
        )

    def close(self) -> None:
        """End the threads."""
        self.tokenizing.close()
