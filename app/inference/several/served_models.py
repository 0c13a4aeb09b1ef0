"""Served models: those of one process, opened one after the other, and found by name."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from app.errors import StartupError
from app.inference.served_model import ServedModel
from app.inference.several.shared import Shared
from app.model.lookup.served_names import by_name, first_twice
from app.options.settings import Settings
from app.telemetry import logs
from app.telemetry.metrics import Metrics


@dataclass(frozen=True, slots=True)
class ServedModels:
    """The models that a process serves, at least one; the first is meant if none is named."""

    each: Sequence[ServedModel]
    places: Mapping[str, int]  # by every name

    @classmethod
    def of(cls, models: Sequence[ServedModel]) -> Self:
        """Return models that are open already."""
        return cls(models, by_name(models))

    @classmethod
    def open(cls, prepared: Sequence[tuple[Settings, Path]], metrics: Metrics) -> Self:
        """Open the models of these folders, each with its settings; they share their threads.

        Raises: StartupError with the cause and the remedy, and the model's name if it is one of
        several.
        """
        if (twice := first_twice(settings.model_name for settings, _ in prepared)) is not None:
            raise StartupError(
                f"{twice} is meant by more than one --model-id (MODEL_ID), or their "
                "--served-model-name (SERVED_MODEL_NAME): leave one out, or name them apart"
            )
        shared = Shared.of(prepared[0][0], metrics, are_several=len(prepared) > 1)
        models: list[ServedModel] = []
        with ExitStack() as unless_open:
            unless_open.callback(shared.close)
            for settings, folder in prepared:
                try:
                    with logs.of_model(settings.model_name if shared.are_several else ""):
                        models.append(ServedModel.open(folder, settings, metrics, shared))
                except StartupError as error:
                    if len(prepared) == 1:
                        raise
                    raise StartupError(f"{settings.model_name}: {error}") from None
                unless_open.callback(models[-1].worker.close)
            unless_open.pop_all()
        return cls.of(models)

    @property
    def first(self) -> ServedModel:
        """The model of requests that name none."""
        return self.each[0]

    @property
    def are_several(self) -> bool:
        """True if there is more than one."""
        return len(self.each) > 1

    @property
    def names(self) -> list[str]:
        """The name of each."""
        return [one.name for one in self.each]

    def named(self, name: str) -> ServedModel | None:
        """Return the model that a name means, or None."""
        place = self.places.get(name)
        return None if place is None else self.each[place]

    async def check(self) -> None:
        """Return if the last run of each model succeeded, or if a fresh one does.

        Raises: Unhealthy.
        """
        await asyncio.gather(*(one.health.check() for one in self.each))

    async def check_alive(self) -> None:
        """Return unless the process is about to be replaced.

        Raises: Unhealthy.
        """
        await asyncio.gather(*(one.health.check_alive() for one in self.each))

    async def check_recent(self) -> None:
        """Return if each model answered recently.

        Raises: Unhealthy.
        """
        await asyncio.gather(*(one.health.check_recent() for one in self.each))

    async def watch(self) -> str:
        """Probe every model; return the reason once one of them needs a fresh process."""
        watches = {asyncio.create_task(one.health.watch()): one for one in self.each}
        try:
            done, _ = await asyncio.wait(watches, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for watch in watches:
                watch.cancel()
        ended = done.pop()
        about = f"{watches[ended].name}: " if self.are_several else ""
        return f"{about}{ended.result()}"

    async def close(self, seconds: float | None = None) -> None:
        """Answer what was admitted, then end the threads; return after `seconds` at the latest."""
        await asyncio.gather(*(asyncio.to_thread(one.worker.close, seconds) for one in self.each))
        for one in self.each:
            await one.close(0)
