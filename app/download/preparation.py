"""Preparation: a model that is not exported, but available as ONNX, becomes an exported one.

It is looked for in folders and Hub caches, and then on the Hub.
"""

import hashlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from app import __version__
from app.download import export_process
from app.download.download import download, is_offline, is_possible
from app.download.workspace import Workspace
from app.errors import StartupError
from app.inference.prompts import require_prompt
from app.model import untrusted
from app.model.lookup import hub_cache, model_ids, repository, spellings
from app.model.names import OWN_GRAPHS
from app.preflight import require_writable
from app.settings import Settings

logger = logging.getLogger(__name__)

_PROMPTS_FILE = "config_sentence_transformers.json"


@contextmanager
def all_prepared(
    each: Sequence[Settings], environment: Mapping[str, str]
) -> Iterator[list[tuple[Settings, Path]]]:
    """Yield what `prepared` does for the settings of each model.

    Raises: StartupError, with the model's id if it is one of several.
    """
    with ExitStack() as stack:
        found: list[tuple[Settings, Path]] = []
        for one in each:
            try:
                found.append(stack.enter_context(prepared(one, environment)))
            except StartupError as error:
                if len(each) == 1:
                    raise
                raise StartupError(f"--model-id {one.model_id}: {error}") from None
        yield found


@contextmanager
def prepared(settings: Settings, environment: Mapping[str, str]) -> Iterator[tuple[Settings, Path]]:
    """Yield the settings with the model's resolved name, and its folder, prepared if need be.

    Load the model inside the block: without --cache-dir its folder is removed afterwards.

    Raises: StartupError when there is nothing to serve or to prepare, with the remedy.
    """
    with ExitStack() as stack:
        try:
            meant = _meant(settings, environment)
            folder = _folder(meant, environment, Workspace(settings.cache_dir, stack))
        except OSError as error:
            place = f" ({error.filename})" if error.filename else ""
            raise StartupError(
                f"the model cannot be read: {error.strerror or error}{place}"
            ) from None
        yield meant, folder


def _meant(settings: Settings, environment: Mapping[str, str]) -> Settings:
    """Return the settings with the model's resolved name and revision."""
    places = model_ids.Places(settings.models_dir, _places(settings, environment))
    try:
        meant = model_ids.understand(settings.model_id, settings.revision, places)
    except model_ids.UnknownName as error:
        raise StartupError(f"--model-id: {error}") from None
    if (meant.model, meant.revision) == (settings.model_id, settings.revision):
        return settings
    revision = f" at {meant.revision}" if meant.revision else ""
    logger.info("by %s %s%s is meant", settings.model_id, meant.model, revision)
    return replace(settings, model_id=meant.model, revision=meant.revision)


def _folder(settings: Settings, environment: Mapping[str, str], workspace: Workspace) -> Path:
    exported = repository.find(settings.model_id, settings.revision, settings.models_dir)
    if exported is not None:
        if settings.onnx_file is None:
            return exported
        if exported == Path(settings.model_id):
            raise StartupError(
                f"--onnx-file {settings.onnx_file}: {exported} is an exported model, which has its "
                "own graphs: leave the option out"
            )
    source, graph = _find(settings, environment, workspace)
    _require_prompt(settings, source)
    models_dir = workspace.folder() / key(settings, source, graph)
    place = models_dir / repository.folder_name(settings.model_id, settings.revision)
    if repository.is_complete(place):
        logger.info("%s was prepared before: %s", source, place)
    else:
        logger.info("Preparing %s", graph)
        export_process.run("preparing the model", _arguments(settings, source, place), environment)
    return place


def _find(
    settings: Settings, environment: Mapping[str, str], workspace: Workspace
) -> tuple[Path, Path]:
    """Return the folder to prepare from and the graph in it, downloaded if no cache has it."""
    places = _places(settings, environment)
    folders = hub_cache.candidates(settings.model_id, settings.revision, places)
    found = _with_graph(folders, settings)
    if found and hub_cache.is_whole(found[0]):
        return found
    offline = is_offline(environment)
    if is_possible(settings.model_id) and not offline:
        if settings.cache_dir is not None:
            require_writable(settings.cache_dir)
        try:
            cache = download(settings, environment, lambda: workspace.folder() / "hub")
        except StartupError as error:
            if not folders:
                raise StartupError(f"{error}{_near(settings, places)}") from None
            logger.warning("%s", error)
        else:
            fetched = hub_cache.candidates(settings.model_id, settings.revision, [cache])
            found = _with_graph(fetched, settings)
    if found is None:
        raise StartupError(_not_there(settings, folders, places, offline=offline))
    return found


def _require_prompt(settings: Settings, source: Path) -> None:
    """Raise StartupError before the preparation if a snapshot lacks the configured prompt."""
    name = settings.default_prompt_name
    if name is None:
        return
    try:
        prompts = untrusted.read_json(source / _PROMPTS_FILE).get("prompts") or {}
    except FileNotFoundError:
        prompts = {}
    except (OSError, ValueError, AttributeError):  # the export reports what is wrong with it
        return
    if isinstance(prompts, dict):
        require_prompt(prompts, name)


def _places(settings: Settings, environment: Mapping[str, str]) -> tuple[Path, ...]:
    """Return the Hub caches; last the one that downloads fall back to."""
    spare = (settings.cache_dir / "hub",) if settings.cache_dir else ()
    return (*hub_cache.roots(settings.huggingface_hub_cache, environment), *spare)


def _with_graph(folders: list[Path], settings: Settings) -> tuple[Path, Path] | None:
    for folder in folders:
        graph = hub_cache.graph_file(folder, settings.onnx_file)
        if graph is not None:
            return folder, graph
    return None


def _not_there(
    settings: Settings, folders: list[Path], places: tuple[Path, ...], *, offline: bool
) -> str:
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
        f"{looked if places else ''}{kept} {remedy}{_near(settings, places)}"
    )


def _near(settings: Settings, places: tuple[Path, ...]) -> str:
    return model_ids.near(settings.model_id, model_ids.Places(settings.models_dir, places))


def key(settings: Settings, source: Path, graph: Path) -> str:
    """Return a name that depends on everything that determines a prepared folder."""
    parts = [hub_cache.digest(source, graph), settings.pooling or "", __version__]
    if settings.dtype in OWN_GRAPHS:
        parts.append(settings.dtype)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _arguments(settings: Settings, source: Path, place: Path) -> list[str]:
    arguments = ["--from-onnx", str(source.resolve()), "--models-dir", str(place.parent)]
    arguments += ["--name", place.name, "--id", repository.source_id(settings.model_id)]
    if settings.dtype in OWN_GRAPHS:
        arguments += ["--dtype", settings.dtype]
    if settings.onnx_file is not None:
        arguments += ["--onnx-file", settings.onnx_file]
    if settings.pooling is not None:
        arguments += ["--pooling", settings.pooling.replace("_", "-")]
    return arguments
