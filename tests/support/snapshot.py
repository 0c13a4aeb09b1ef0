"""Snapshots as in the Hub's cache: links to blobs, with the tiny encoder as ONNX."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import onnx
from safetensors.numpy import save_file

from app.model.lookup.hub_cache import cache_name
from tools import tiny

COMMIT = "0123456789abcdef" * 2 + "01234567"
OTHER_COMMIT = "f" * 40
_random = np.random.default_rng(11)
DENSE = _random.normal(size=(20, tiny.DIMENSIONS)).astype(np.float32)
BIAS = _random.normal(size=len(DENSE)).astype(np.float32)


def encoder() -> onnx.ModelProto:
    """Return the tiny encoder as a converter writes it."""
    return tiny.encoder()


def write_folder(folder: Path, model: onnx.ModelProto | None = None) -> Path:
    """Write an ordinary Hugging Face folder with `onnx/model.onnx`; mean pooling, normalized."""
    (folder / "onnx").mkdir(parents=True)
    (folder / "1_Pooling").mkdir()
    modules = [
        {"type": f"sentence_transformers.models.{name}", "path": path}
        for name, path in (("Transformer", ""), ("Pooling", "1_Pooling"), ("Normalize", "2"))
    ]
    documents = {
        "config.json": {
            "architectures": ["BertModel"],
            "model_type": "bert",
            "hidden_size": tiny.DIMENSIONS,
            "vocab_size": len(tiny.WORDS),
            "max_position_embeddings": tiny.MAX_LENGTH,
            "pad_token_id": 0,
        },
        "modules.json": modules,
        "1_Pooling/config.json": {"pooling_mode_mean_tokens": True},
        "tokenizer_config.json": {"tokenizer_class": "BertTokenizer"},
        "config_sentence_transformers.json": {"prompts": tiny.PROMPTS},
    }
    for name, content in documents.items():
        (folder / name).write_text(json.dumps(content))
    tiny.tokenizer().save(str(folder / "tokenizer.json"))
    onnx.save(model or encoder(), folder / "onnx/model.onnx")
    return folder


def with_dense(folder: Path) -> Path:
    """Add a Dense layer of tanh between its pooling and its Normalize, as LaBSE has."""
    write_folder(folder)
    modules = json.loads((folder / "modules.json").read_text())
    modules.insert(2, {"type": "sentence_transformers.models.Dense", "path": "2_Dense"})
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "2_Dense").mkdir()
    outputs, inputs = DENSE.shape
    config = {"in_features": inputs, "out_features": outputs, "bias": True}
    (folder / "2_Dense/config.json").write_text(json.dumps(config))
    weights = {"linear.weight": DENSE, "linear.bias": BIAS}
    save_file(weights, folder / "2_Dense/model.safetensors", metadata={"format": "pt"})
    return folder


def write_cache(
    place: Path,
    folder: Path,
    commit: str = COMMIT,
    reference: str = "main",
    model: str = "tests/small",
) -> Path:
    """Put a folder's files into a Hub cache as one snapshot; return the snapshot."""
    cache = place / cache_name(model)
    snapshot = cache / "snapshots" / commit
    (cache / "blobs").mkdir(parents=True, exist_ok=True)
    for path in folder.rglob("*"):
        if path.is_file():
            blob = cache / "blobs" / hashlib.sha256(path.read_bytes()).hexdigest()
            shutil.copyfile(path, blob)
            link = snapshot / path.relative_to(folder)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(
                Path(*[".."] * len(link.relative_to(cache).parts[1:]), "blobs", blob.name)
            )
    (cache / "refs" / reference).parent.mkdir(parents=True, exist_ok=True)
    (cache / "refs" / reference).write_text(commit)
    return snapshot


def contents(folder: Path) -> dict[str, tuple[int, int]]:
    """Return size and modification time of everything in a folder."""
    return {
        str(path.relative_to(folder)): (path.lstat().st_size, path.lstat().st_mtime_ns)
        for path in [folder, *folder.rglob("*")]
    }
