"""Repository: one folder of `models/` for each exported source id and revision.

Only the standard library is needed here, so that the export publishes where the server looks.
"""

import re
from pathlib import Path

from app.model.manifest import FILE_NAME, Manifest, ManifestError


def folder_name(model_id: str, revision: str | None = None) -> str:
    """Return the name of a model's folder: `org/name` at a revision becomes `org--name@revision`.

    Of a path only the last part counts; it has no revision unless it is in a Hub cache. Characters
    that are unsafe in a file name become `_`.
    """
    source = source_id(model_id)
    path = Path(model_id)
    revision = None if path.is_dir() and not (path / "snapshots").is_dir() else revision
    name = source.replace("/", "--") + (f"@{revision}" if revision else "")
    return re.sub(r"[^\w.@-]", "_", name).lstrip(".")


def source_id(model_id: str) -> str:
    """Return the id for a manifest: the Hub id itself, or the name of a local folder."""
    path = Path(model_id)
    return path.resolve().name if path.is_dir() else model_id


def find(model_id: str, revision: str | None, models_dir: Path) -> Path | None:
    """Return the exported folder of a model id: the id itself, else its place in `models_dir`."""
    for folder in (Path(model_id), models_dir / folder_name(model_id, revision)):
        if (folder / FILE_NAME).is_file():
            return folder
    return None


def is_complete(folder: Path) -> bool:
    """Check whether a folder was published by an export that this version understands."""
    try:
        Manifest.read(folder)
    except ManifestError:
        return False
    return True
