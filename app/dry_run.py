"""Dry run: what a start would serve, and how, without a port and without writing anything."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from app import preflight
from app.application import CLOSE_SECONDS
from app.download import finding
from app.download.download import is_offline, is_possible
from app.download.preparation import kept
from app.errors import StartupError
from app.inference.served_model import ServedModel
from app.inference.several.served_models import ServedModels
from app.model.lookup import hub_cache
from app.options.settings import Settings
from app.telemetry import memory
from app.telemetry.metrics import Metrics

_MEGABYTE = 1_000_000


def report(each: Sequence[Settings], environment: Mapping[str, str]) -> Iterator[str]:
    """Yield lines that say where each model is, and, once all are there, how they are computed.

    Only then are they loaded, as for serving, so that precision and memory are measured.

    Raises: StartupError when the service could not start, with the remedy.
    """
    folders: list[tuple[Settings, Path]] = []
    for one in each:
        with finding.readable():
            settings = finding.meant(one, environment)
            folder, sentence = _place(settings, environment)
        yield settings.model_id
        yield f"  from       {sentence}"
        if folder is not None:
            folders.append((settings, folder))
            yield from (f"  warning    {short}" for short in preflight.shortages([folder]))
    if len(folders) < len(each):
        yield "precision and memory: known once every model is there"
        return
    models = ServedModels.open(folders, Metrics())
    try:
        for model in models.each:
            yield from _computation(model, named=models.are_several)
        yield f"memory       {_memory()}"
    finally:
        asyncio.run(models.close(CLOSE_SECONDS))


def _place(settings: Settings, environment: Mapping[str, str]) -> tuple[Path | None, str]:
    """Return the folder that could be opened now, if there is one, and what a start would do.

    Raises: StartupError if the model is nowhere.
    """
    if (folder := finding.exported(settings)) is not None:
        return folder, f"{folder}, an exported model"
    places = finding.caches(settings, environment)
    known = finding.snapshots(settings, places)
    offline = is_offline(environment)
    if known.found is not None and (known.is_whole or offline):
        source, graph = known.found
        if (folder := kept(settings, source, graph)) is not None:
            return folder, f"{folder}, prepared before from {source}"
        return None, f"{graph}, which would be prepared and proved first"
    if is_possible(settings.model_id) and not offline:
        wanted = hub_cache.download_place(settings.huggingface_hub_cache, environment)
        return None, f"the Hub, if it has it: downloaded to {wanted or 'a temporary folder'} first"
    raise StartupError(finding.not_there(settings, known.folders, places, offline=offline))


def _computation(model: ServedModel, *, named: bool) -> Iterator[str]:
    manifest, loaded = model.manifest, model.loaded
    if named:
        yield model.name
    size = f", {manifest.dimensions} dimensions" if manifest.dimensions else ""
    yield f"  is         {manifest.task}{size}, inputs of up to {loaded.max_input_length} tokens"
    yield f"  computes   on {loaded.session.plan.name}: {loaded.reason}"
    yield f"  graph      {loaded.session.graph.file}"


def _memory() -> str:
    held = memory.resident_bytes() // _MEGABYTE if memory.is_known() else None
    limit = memory.limit_bytes()
    have = "" if limit is None else f", of {limit // _MEGABYTE:,} MB that the process may hold"
    return f"{held:,} MB once warm{have}" if held else f"unknown on this system{have}"
