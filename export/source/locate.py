"""Locate: where a model's checkpoint is on this machine, downloaded if need be."""

import os
from dataclasses import dataclass
from pathlib import Path

from app.model.lookup import hub_cache, model_ids, repository
from app.model.manifest import FILE_NAME
from export.errors import ExportError
from export.source import default_model


@dataclass(frozen=True, slots=True)
class Located:
    """A checkpoint's folder, its id, and its commit if known."""

    folder: Path
    id: str
    revision: str | None
    weights: tuple[Path, ...] = ()  # the files that its weights were merged from, if they were


def locate(model: str, revision: str | None, *, code: bool = False) -> Located:
    """Find a model: a folder, the installed default model or a Hub id, in this order.

    `code` downloads its Python files, too.

    Raises: ExportError if there is no such model, or if it cannot be downloaded, with the remedy.
    """
    folder = Path(model)
    if folder.is_dir():
        return _local(folder, model, revision)
    if folder.exists() or model.startswith(("/", "./", "../", "~")) or model.count("/") > 1:
        raise ExportError(f"{model} is not a folder: give the folder that holds config.json")
    if model == default_model.DEFAULT_MODEL_ID and revision is None:
        packaged = default_model.installed()
        if packaged is not None:
            return Located(packaged, model, None)
    # huggingface_hub takes a third of a second to import, and a folder does not need it.
    from export.source import hub

    try:
        found = hub.download(model, revision, code=code)
    except ExportError as error:
        places = model_ids.Places(Path("models"), hub_cache.roots(None, os.environ))
        raise ExportError(f"{error}{model_ids.near(model, places)}") from None
    return Located(found, model, found.name)


def _local(folder: Path, model: str, revision: str | None) -> Located:
    if (folder / FILE_NAME).is_file():
        raise ExportError(f"{model} is an exported model already: serve it as it is")
    source_id = repository.source_id(model)
    if (folder / "snapshots").is_dir():
        snapshot = _snapshot(folder, revision or "main")
        return Located(snapshot, source_id, snapshot.name)
    if revision is not None:
        raise ExportError(f"--revision {revision}: {model} is a folder, which has no revisions")
    return Located(folder, source_id, None)


def _snapshot(folder: Path, revision: str) -> Path:
    """Return the files of a revision in a Hub cache folder, `models--organization--name`."""
    reference = folder / "refs" / revision
    commit = reference.read_text().strip() if reference.is_file() else revision
    snapshot = folder / "snapshots" / commit
    if Path(commit).name != commit or not snapshot.is_dir():
        raise ExportError(f"{folder} holds no snapshot of revision {revision!r}")
    return snapshot
