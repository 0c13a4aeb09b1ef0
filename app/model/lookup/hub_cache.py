"""Snapshots: ordinary Hugging Face folders, in the Hub's cache or elsewhere, and their ONNX files.

Only the standard library is needed here, so that server and export agree on what they read.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

from app.model import untrusted
from app.model.digests import file_digest
from app.model.manifest import GRAPH_FILE
from app.model.names import is_coarse

# In TEI's order (1.9.3 backends/ort/src/lib.rs); quantized files have other names.
_FOLDER = "onnx"
_GRAPHS = (GRAPH_FILE, f"{_FOLDER}/{GRAPH_FILE}")
MODULES_FILE = "modules.json"
# Weights of the layers after an encoder, which itself has no folder of its own, or `0_…`.
LAYER_WEIGHTS = "[1-9]*_*/model.safetensors"
LAYER_PICKLES = "[1-9]*_*/pytorch_model.bin"
_DENSE = "[1-9]*_Dense"
_WEIGHTS = ("*.safetensors", "pytorch_model*.bin")


def roots(cache: Path | None, environment: Mapping[str, str]) -> tuple[Path, ...]:
    """Return the folders that may hold `models--ORG--NAME`: of the named cache, then the usual one.

    A cache may be named as for TEI, or as HF_HOME, which has it in `hub`.
    """
    named = (cache / "hub", cache) if cache else ()
    usual = _usual(environment)
    return tuple(dict.fromkeys((*named, *([usual] if usual else []))))


def candidates(model_id: str, revision: str | None, places: Sequence[Path]) -> list[Path]:
    """Return every folder that holds the model's files, best first; `model_id` may be one."""
    folder = Path(model_id)
    if folder.is_dir() and not (folder / "snapshots").is_dir():
        return [folder]
    caches = [folder] if folder.is_dir() else [place / cache_name(model_id) for place in places]
    found = (_snapshot(one, revision or "main") for one in caches)
    return [one for one in found if one is not None]


def cache_name(model_id: str) -> str:
    """Return the name of a model's folder in a Hub cache."""
    return "models--" + model_id.replace("/", "--")


def hub_id(folder: Path) -> str | None:
    """Return the model id of a snapshot in a Hub cache, or None for any other folder."""
    name = folder.resolve().parent.parent.name
    if folder.resolve().parent.name != "snapshots" or not name.startswith("models--"):
        return None
    return name.removeprefix("models--").replace("--", "/", 1)


def graph_file(folder: Path, wanted: str | None = None) -> Path | None:
    """Return the ONNX graph of a snapshot, by default the float32 one, or None."""
    name = graph_name((one for one in _graphs(wanted) if (folder / one).is_file()), wanted)
    return folder / name if name else None


def graph_name(names: Iterable[str], wanted: str | None = None) -> str | None:
    """Return the ONNX graph among a model's file names, by default the float32 one, or None."""
    usual = _graphs(wanted)
    return min(set(usual).intersection(names), key=usual.index, default=None)


def graph_files(graph: Path) -> list[Path]:
    """Return a graph and the files of its weights, whose names begin with its own."""
    beside = (one for one in graph.parent.iterdir() if one.name.startswith(graph.name))
    return sorted(one for one in beside if one.is_file())


def is_whole(folder: Path) -> bool:
    """Check whether a snapshot has all files that say how the model is pooled, with their weights.

    In a cache some may be missing, since Transformers and Optimum fetch a graph without them. The
    Hub's own library notes in `.no_exist` what a repository does not have.
    """
    if folder.parent.name != "snapshots":
        return True
    if (folder / MODULES_FILE).is_file():
        return all((one / "model.safetensors").is_file() for one in folder.glob(_DENSE))
    return absence(folder, MODULES_FILE).is_file() or _classifies(folder)


def absence(folder: Path, name: str) -> Path:
    """Return the file by which the Hub's cache notes that a repository lacks a file."""
    return folder.parent.parent / ".no_exist" / folder.name / name


def without_graph(names: Iterable[str], remedy: str, wanted: str | None = None) -> str:
    """Describe the graph that a model lacks, and what it has instead, for an error message.

    `remedy`, which converts PyTorch weights, is included if there are any.
    """
    every = sorted(names)
    lacking = f"holds no {wanted}" if wanted else "holds no model.onnx and no onnx/model.onnx"
    graphs = [name for name in every if name.endswith(".onnx")]
    served = [name for name in graphs if not is_coarse(name)]
    converts = any(fnmatch(name, one) for name in every for one in _WEIGHTS if "/" not in name)
    convert = f", or {remedy}" if converts else ""
    if served:
        found = ", ".join(served)
        return f"{lacking}, only {found}: name one with --onnx-file (ONNX_FILE){convert}"
    found = f"only {', '.join(graphs)}, which are not served" if graphs else ""
    if converts:
        return f"{lacking}, {found or 'only PyTorch weights'}; {remedy}"
    return (
        f"{lacking}, {found or 'no weights either'}: name a model with one of these, or with "
        "PyTorch weights"
    )


def digest(folder: Path, graph: Path) -> str:
    """Return the SHA-256 of names and contents of all files that a prepared model depends on."""
    paths = {*folder.rglob("*.json"), *folder.glob(LAYER_WEIGHTS), *graph_files(graph)}
    files = {
        path.relative_to(folder).as_posix(): file_digest(path) for path in paths if path.is_file()
    }
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()


def download_place(cache: Path | None, environment: Mapping[str, str]) -> Path | None:
    """Return the cache to download to, or None if none is named and the user has no home."""
    if cache is None:
        return _usual(environment)
    return cache / "hub" if (cache / "hub").is_dir() else cache


def _graphs(wanted: str | None) -> tuple[str, ...]:
    """Return where a graph may be, best first; a name without a folder may be in the usual one."""
    return (wanted, f"{_FOLDER}/{wanted}") if wanted else _GRAPHS


def _usual(environment: Mapping[str, str]) -> Path | None:
    """Return huggingface_hub's default cache, or None for a user without a home."""
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
    """Return the snapshot of a branch, tag or commit in a folder `models--ORG--NAME`, or None."""
    if ".." in PurePosixPath(revision).parts or PurePosixPath(revision).is_absolute():
        return None
    reference = cache / "refs" / revision
    commit = reference.read_text().strip() if reference.is_file() else revision
    if PurePosixPath(commit).name != commit:  # the content of a file in `refs` is not trusted
        return None
    folder = cache / "snapshots" / commit
    return folder if commit and folder.is_dir() else None


def _classifies(folder: Path) -> bool:
    """Check whether the model has a classification head, and so needs no pooling."""
    try:
        config = untrusted.read_json(folder / "config.json")
        return any(str(name).endswith("Classification") for name in config["architectures"])
    except (OSError, ValueError, KeyError, TypeError):  # the export reports what is wrong with it
        return False
