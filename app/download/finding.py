"""Finding: where a model is, before anything is downloaded or prepared."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from app.errors import StartupError
from app.model.lookup import hub_cache, model_ids, repository, spellings
from app.options.settings import Settings

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Snapshots:
    """The folders that hold files of a model, best first, and the one with a graph to serve."""

    folders: list[Path]
    found: tuple[Path, Path] | None  # a folder and its graph

    @property
    def is_whole(self) -> bool:
        """True if the graph can be served with what lies beside it."""
        return self.found is not None and hub_cache.is_whole(self.found[0])


@contextmanager
def readable() -> Iterator[None]:
    """Look for models in the block.

    Raises: StartupError naming the file that the system does not let be read, for an OSError.
    """
    try:
        yield
    except OSError as error:
        place = f" ({error.filename})" if error.filename else ""
        raise StartupError(f"the model cannot be read: {error.strerror or error}{place}") from None


def meant(settings: Settings, environment: Mapping[str, str]) -> Settings:
    """Return the settings with the model's resolved name and revision.

    Raises: StartupError for a text that cannot be a model's name.
    """
    known = model_ids.Places(settings.models_dir, caches(settings, environment))
    try:
        found = model_ids.understand(settings.model_id, settings.revision, known)
    except model_ids.UnknownName as error:
        raise StartupError(f"--model-id: {error}") from None
    if (found.model, found.revision) == (settings.model_id, settings.revision):
        return settings
    revision = f" at {found.revision}" if found.revision else ""
    logger.info("by %s %s%s is meant", settings.model_id, found.model, revision)
    return replace(settings, model_id=found.model, revision=found.revision)


def exported(settings: Settings) -> Path | None:
    """Return the model's exported folder, or None if there is none, or another graph is asked for.

    Raises: StartupError if that graph can only be another model's.
    """
    folder = repository.find(settings.model_id, settings.revision, settings.models_dir)
    if folder is None or settings.onnx_file is None:
        return folder
    if folder == Path(settings.model_id):
        raise StartupError(
            f"--onnx-file {settings.onnx_file}: {folder} is an exported model, which has its "
            "own graphs: leave the option out"
        )
    return None


def snapshots(settings: Settings, places: tuple[Path, ...]) -> Snapshots:
    """Return the folders with the model's files: its own, or those in the caches at `places`."""
    folders = hub_cache.candidates(settings.model_id, settings.revision, places)
    graphs = ((one, hub_cache.graph_file(one, settings.onnx_file)) for one in folders)
    found = next(((one, graph) for one, graph in graphs if graph is not None), None)
    return Snapshots(folders, found)


def caches(settings: Settings, environment: Mapping[str, str]) -> tuple[Path, ...]:
    """Return the Hub caches; last the one that downloads fall back to."""
    spare = (settings.cache_dir / "hub",) if settings.cache_dir else ()
    return (*hub_cache.roots(settings.huggingface_hub_cache, environment), *spare)


def not_there(
    settings: Settings, folders: list[Path], places: tuple[Path, ...], *, offline: bool
) -> str:
    """Return the error message for a model that can neither be found nor downloaded."""
    command = spellings.export_command(
        settings.model_id, settings.revision, settings.pooling, settings.dtype
    )
    remedy = f"run: {command}"
    if folders:
        names = (path.relative_to(folders[0]).as_posix() for path in folders[0].rglob("*"))
        return f"{folders[0]} {hub_cache.without_graph(names, remedy, settings.onnx_file)}"
    place = settings.models_dir / repository.folder_name(settings.model_id, settings.revision)
    looked = f", and no Hub cache holds it (looked in {', '.join(map(str, places))})"
    kept = "; HF_HUB_OFFLINE keeps it from being downloaded: unset it, or" if offline else ";"
    return (
        f"{settings.model_id} is not exported: neither it nor {place} holds a manifest.json"
        f"{looked if places else ''}{kept} {remedy}{near(settings, places)}"
    )


def near(settings: Settings, places: tuple[Path, ...]) -> str:
    """Suggest a model of this machine, or a published one, to end an error message with."""
    return model_ids.near(settings.model_id, model_ids.Places(settings.models_dir, places))
