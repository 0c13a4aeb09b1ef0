"""Served model: an exported folder, opened and proved, that computes until it is closed.

It knows nothing of HTTP: an API uses it, but a batch job or a test could as well.
"""

import asyncio
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Self

from app.inference.admission import Admission, AdmissionOptions
from app.inference.batching.further_outputs import FurtherOutputs
from app.inference.batching.gathering import Gathering
from app.inference.batching.runner_pool import RunOptions
from app.inference.batching.warm_up import WarmUp
from app.inference.batching.worker import BatchWorker
from app.inference.computing import Progress
from app.inference.engine import Engine, EngineOptions
from app.inference.health import Health
from app.inference.lanes.lane import Lane
from app.inference.loading import LoadedModel, LoadOptions, add_beside, load, read_manifest
from app.inference.permits import Permits
from app.inference.prompts import prompt_names, require_room
from app.inference.reuse.reuse import Reuse
from app.inference.reuse.row_store import RowStore
from app.inference.several.shared import Shared
from app.inference.token_listing import Listing
from app.model.manifest import Manifest
from app.options.settings import Settings
from app.records import record
from app.telemetry.metrics import Metrics

LANE_RUNS = 4  # of the largest size, that wait for each runner: enough to make batches of
UNLIMITED = 1 << 40  # permits


@record(eq=False)
class ServedModel:
    """One model and the threads that compute it; requests go through its engine."""

    settings: Settings  # it was opened with
    loaded: LoadedModel
    engine: Engine
    spare: Engine  # the same for work that gives way to requests, and takes no permits of theirs
    listing: Listing
    worker: BatchWorker
    health: Health
    metrics: Metrics  # that its requests and batches count in
    label: str = ""  # its name in spans, if it is one of several

    @classmethod
    def open(
        cls, folder: Path, settings: Settings, metrics: Metrics, shared: Shared | None = None
    ) -> Self:
        """Load the exported model of a folder, prove it, and start its threads.

        Counts in `metrics`, under its name if it is one of several. These have the same `shared`,
        which is closed with the first of them. Raises: StartupError with the cause and the remedy.
        """
        manifest = read_manifest(folder)
        # Loading takes long, so refuse first what can be refused without it.
        admitted = AdmissionOptions.of(settings, manifest)
        options = EngineOptions.of(settings, manifest)
        serving = manifest.yielding(options.output)
        shared = shared or Shared.of(settings, metrics)
        label = settings.model_name if shared.are_several else ""
        if label:
            metrics = metrics.labelled(model=label)
        with ExitStack() as unless_open:
            unless_open.callback(shared.close)
            loaded = load(folder, serving, LoadOptions.of(settings), shared.tokenizing)
            require_room(settings, admitted.default_prompt, loaded.tokenization)
            worker = _start_worker(loaded, options.output, metrics, settings, shared)
            unless_open.pop_all()
        permits = Permits(admitted.max_concurrent_requests, shared.permits)
        admission = Admission(admitted, loaded.tokenization, permits)
        further = FurtherOutputs(loaded.sessions, partial(add_beside, folder, loaded))
        reuse = Reuse(shared.store, metrics)
        jobs = Gathering(worker)
        engine = Engine(options, admission, jobs, reuse, further.ready)
        ahead = LANE_RUNS * worker.options.threads * len(loaded.sessions) * loaded.limits.max_tokens
        lane = Lane(jobs, permits, ahead)
        spare = Engine(
            options, admission.within(UNLIMITED), lane, Reuse(RowStore(0), metrics), further.ready
        )
        listing = Listing(admission, loaded.tokenization)
        turns, limit = loaded.tokenization.scheduler, settings.run_timeout_seconds
        health = Health(worker, turns, engine.probe, limit)
        return cls(settings, loaded, engine, spare, listing, worker, health, metrics, label)

    @property
    def name(self) -> str:
        """The name that responses give."""
        return self.settings.model_name

    @property
    def other_names(self) -> tuple[str, ...]:
        """Other names that requests may use."""
        return self.settings.model_id, self.manifest.source.id

    @property
    def names(self) -> tuple[str, ...]:
        """Every name that requests may use."""
        return self.name, *self.other_names

    @property
    def manifest(self) -> Manifest:
        """The manifest of its folder."""
        return self.loaded.manifest

    @property
    def prompt_names(self) -> Sequence[str]:
        """Names that choose a prompt, or a route through the model."""
        return prompt_names(self.manifest)

    def telling(self, progress: Progress) -> Self:
        """Return the same model for one request, reporting its progress."""
        return type(self)(  # `replace` takes six times as long, and every request comes here
            self.settings,
            self.loaded,
            self.engine.telling(progress),
            self.spare,
            self.listing,
            self.worker,
            self.health,
            self.metrics,
            self.label,
        )

    def within(self, granted: int) -> Self:
        """Return the same model for parts of a request that already holds `granted` permits."""
        engine, listing = self.engine.within(granted), self.listing.within(granted)
        return replace(self, engine=engine, listing=listing)

    def giving_way(self) -> Self:
        """Return the same model for work that gives way to requests."""
        return replace(self, engine=self.spare)

    async def close(self, seconds: float | None = None) -> None:
        """Answer what was admitted, then end the threads; return after `seconds` at the latest."""
        await asyncio.to_thread(self.worker.close, seconds)
        self.loaded.tokenization.close()


def _start_worker(
    loaded: LoadedModel, output: str, metrics: Metrics, settings: Settings, shared: Shared
) -> BatchWorker:
    """Start a worker, after a second of warm-up over all sessions."""
    padding = loaded.manifest.padding
    limits = loaded.limits.capped(settings.max_batch_requests)
    options = RunOptions.of(settings, loaded.session.plan)
    worker = BatchWorker(loaded.sessions, padding, limits, metrics, options, shared.turns)
    warm_up = WarmUp(limits.shapes(), output, padding, loaded.sessions * options.threads)
    warm_up.at_start()
    worker.start(warm_up)
    return worker
