"""Weight files: which files of a checkpoint hold its weights."""

from pathlib import Path, PurePosixPath

from export.config.documents import Document
from export.errors import ExportError

_NAMES = ("model.safetensors", "pytorch_model.bin")


def of_encoder(folder: Path) -> list[Path]:
    """Return the files that transformers loads the weights from: safetensors, or else pickles.

    Raises: ExportError if there are none, or if a part is missing or outside the folder.
    """
    for name in _NAMES:
        if (folder / name).is_file():
            return [folder / name]
        index = folder / f"{name}.index.json"
        parts = Document.read(index).value("weight_map", dict) or {}
        files = [_inside(folder, part, index) for part in sorted(set(map(str, parts.values())))]
        missing = next((path for path in files if not path.is_file()), None)
        if missing:
            raise ExportError(f"{missing} is missing: fetch the model again")
        if files:
            return files
    raise ExportError(f"{folder} has no weights: {' or '.join(_NAMES)} is missing")


def of_layer(place: Path) -> Path:
    """Return the file of a layer's weights; `place` is that file or the layer's folder.

    Raises: ExportError if there is none.
    """
    if place.is_file():
        return place
    for name in _NAMES:
        if (place / name).is_file():
            return place / name
    raise ExportError(f"{place} has no weights: {' or '.join(_NAMES)} is missing")


def _inside(folder: Path, part: str, index: Path) -> Path:
    if PurePosixPath(part).name != part:
        raise ExportError(f"{index}: {part!r} is not the name of a file beside it")
    return folder / part
