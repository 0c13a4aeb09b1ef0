"""Snapshots: ordinary Hugging Face folders, in the Hub's cache or elsewhere, and their ONNX files.

Only the standard library is needed here, so that server and export agree on what they read.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from app.inference.manifest import GRAPH_FILE, file_digest

# In TEI's order (1.9.3 backends/ort/src/lib.rs); quantized files go by other names.
_PLACES = ("", "onnx")
_WEIGHTS = ("*.safetensors", "pytorch_model*.bin")


def roots(cache: Path | None, environment: Mapping[str, str]) -> tuple[Path, ...]:
    """Folders that may hold `models--ORG--NAME`: below the cache that was named, then the usual.

    A cache may be named as TEI takes it, or as HF_HOME, which has it in `hub`.
    """
    named = (cache / "hub", cache) if cache else ()
    usual = _usual(environment)
    return tuple(dict.fromkeys((*named, *([usual] if usual else []))))


def candidates(model_id: str, revision: str | None, places: Sequence[Path]) -> list[Path]:
    """Every folder that holds the model's files, best first; `model_id` may be such a folder."""
    folder = Path(model_id)
    if folder.is_dir() and not (folder / "snapshots").is_dir():
        return [folder]
    name = "models--" + model_id.replace("/", "--")
    caches = [folder] if folder.is_dir() else [place / name for place in places]
    found = (_snapshot(one, revision or "main") for one in caches)
    return [one for one in found if one is not None]


def graph_file(folder: Path) -> Path | None:
    """The float32 ONNX graph of a snapshot, if it has one."""
    paths = (folder / place / GRAPH_FILE for place in _PLACES)
    return next((path for path in paths if path.is_file()), None)


def has_weights(folder: Path) -> bool:
    """Whether a snapshot holds weights that an export can convert."""
    return any(path.is_file() for pattern in _WEIGHTS for path in folder.glob(pattern))


def digest(folder: Path, graph: Path) -> str:
    """SHA-256 over names and contents of all files that a prepared model may come from."""
    paths = {*folder.rglob("*.json"), *graph.parent.glob(f"{GRAPH_FILE}*")}
    files = {
        path.relative_to(folder).as_posix(): file_digest(path) for path in paths if path.is_file()
    }
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()


def _usual(environment: Mapping[str, str]) -> Path | None:
    """Where huggingface_hub keeps its cache unless told otherwise; None for a user without home."""
    if cache := environment.get("HF_HUB_CACHE"):
        return Path(cache)
    if home := environment.get("HF_HOME"):
        return Path(home) / "hub"
    if caches := environment.get("XDG_CACHE_HOME"):
        return Path(caches) / "huggingface" / "hub"
    if home := environment.get("HOME"):
        return Path(home) / ".cache" / "huggingface" / "hub"
    return None


def _snapshot(cache: Path, revision: str) -> Path | None:
    """The files of a branch, tag or commit in a folder `models--ORG--NAME`."""
    if ".." in PurePosixPath(revision).parts or PurePosixPath(revision).is_absolute():
        return None
    reference = cache / "refs" / revision
    commit = reference.read_text().strip() if reference.is_file() else revision
    folder = cache / "snapshots" / commit
    return folder if commit and folder.is_dir() else None
