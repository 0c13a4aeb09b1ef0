"""Adapter files: the LoRA adapters of a checkpoint, each in a folder of its own."""

from pathlib import Path

from export.errors import ExportError

CONFIG_FILE = "adapter_config.json"
_WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")


def names(folder: Path) -> list[str]:
    """Return the names of the adapters beside an encoder."""
    return sorted(path.parent.name for path in folder.glob(f"*/{CONFIG_FILE}"))


def check(folder: Path, name: str) -> None:
    """Check that an encoder has an adapter of that name.

    Raises: ExportError if not, naming those that it has.
    """
    found = names(folder)
    if name not in found:
        held = f"it has {', '.join(found)}" if found else "it has none"
        raise ExportError(f"--adapter {name}: {folder} has no such adapter: {held}")


def weights_file(folder: Path) -> Path:
    """Return the file of an adapter's weights.

    Raises: ExportError if there is none.
    """
    for name in _WEIGHTS:
        if (folder / name).is_file():
            return folder / name
    raise ExportError(f"{folder} has no weights: {' or '.join(_WEIGHTS)} is missing")
