"""Listing: the exported models in a folder, one line each, with tabs between the values."""

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from app.model.manifest import FILE_NAME, Manifest, ManifestError
from app.proof import bounds

if TYPE_CHECKING:
    from app.model.parts import Certificate

COLUMNS = ("model", "revision", "task", "dimensions", "megabytes", "precisions", "folder")


def parse(arguments: Sequence[str], environment: Mapping[str, str]) -> Path:
    """Read the folder to list from the command line or the environment.

    Raises: SystemExit with status 2 for a usage error.
    """
    parser = argparse.ArgumentParser(prog="python -m export", allow_abbrev=False)
    parser.add_argument("--list", action="store_true", required=True)
    parser.add_argument("--models-dir", type=Path)
    found: Path | None = parser.parse_args(arguments).models_dir
    return found or Path(environment.get("MODELS_DIR") or "models")


def show(models_dir: Path) -> None:
    """Print a line of column names and one for each model; unreadable ones are named on stderr."""
    _print(COLUMNS)
    for path in sorted(models_dir.glob(f"[!.]*/{FILE_NAME}")):
        try:
            row = _row(path.parent, Manifest.read(path.parent))
        except ManifestError as error:
            sys.stderr.write(f"warning: {error}\n")
            continue
        _print(row)


def _print(values: Sequence[str]) -> None:
    sys.stdout.write("\t".join(values) + "\n")


def _row(folder: Path, manifest: Manifest) -> tuple[str, ...]:
    size = sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
    return (
        manifest.source.id,
        manifest.source.revision or "-",
        manifest.task,
        str(manifest.dimensions),
        f"{size / 1e6:.1f}",
        "; ".join(_precisions(manifest)) or "-",
        str(folder),
    )


def _precisions(manifest: Manifest) -> Iterator[str]:
    """Yield each precision with its worst figure over the providers that it was proved on."""
    found: dict[str, Certificate] = {}
    for one in manifest.certificates:
        known = found.setdefault(one.compute_dtype, one)
        if one.worst_cosine < known.worst_cosine:
            found[one.compute_dtype] = one
    for dtype in dict.fromkeys((*(graph.dtype for graph in manifest.graphs), *found)):
        figure = bounds.figure(manifest.task, found[dtype]) if dtype in found else "not proved"
        yield f"{dtype}: {figure}"
