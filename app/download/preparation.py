"""Preparation: a model that is not exported, but available as ONNX, becomes an exported one.

It is looked for in folders and Hub caches, and then on the Hub.
"""

import hashlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from app import __version__
from app.download import export_process, finding
from app.download.download import download, is_offline, is_possible
from app.download.workspace import Workspace
from app.errors import StartupError
from app.inference.prompts import require_prompt
from app.model import untrusted
from app.model.lookup import hub_cache, repository
from app.model.names import OWN_GRAPHS
from app.options.settings import Settings
from app.preflight import require_writable

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
        with finding.readable():
            meant = finding.meant(settings, environment)
            folder = _folder(meant, environment, Workspace(settings.cache_dir, stack))
        yield meant, folder


def _folder(settings: Settings, environment: Mapping[str, str], workspace: Workspace) -> Path:
    if (exported := finding.exported(settings)) is not None:
        return exported
    source, graph = _find(settings, environment, workspace)
    _require_prompt(settings, source)
    place = _in(workspace.folder(), settings, source, graph)
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
    places = finding.caches(settings, environment)
    known = finding.snapshots(settings, places)
    if known.is_whole:
        assert known.found is not None
        return known.found
    found, offline = known.found, is_offline(environment)
    if is_possible(settings.model_id) and not offline:
        if settings.cache_dir is not None:
            require_writable(settings.cache_dir)
        try:
            cache = download(settings, environment, lambda: workspace.folder() / "hub")
        except StartupError as error:
            if not known.folders:
                raise StartupError(f"{error}{finding.near(settings, places)}") from None
            logger.warning("%s", error)
        else:
            found = finding.snapshots(settings, (cache,)).found
    if found is None:
        raise StartupError(finding.not_there(settings, known.folders, places, offline=offline))
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


def kept(settings: Settings, source: Path, graph: Path) -> Path | None:
    """Return the folder that an earlier start has prepared in --cache-dir, or None."""
    if settings.cache_dir is None:
        return None
    place = _in(settings.cache_dir.resolve(), settings, source, graph)
    return place if repository.is_complete(place) else None


def _in(root: Path, settings: Settings, source: Path, graph: Path) -> Path:
    """Return the folder below `root` that a snapshot is prepared to."""
    name = repository.folder_name(settings.model_id, settings.revision)
    return root / key(settings, source, graph) / name


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
