"""Tiny models saved by Model2Vec, with its vectors: `tests/recorded/model2vec.json`.

They were made by `StaticModel(…).save_pretrained` and `encode` of the version that the file names.
"""

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tools.process import ROOT

_RECORDED: dict[str, Any] = json.loads((ROOT / "tests/recorded/model2vec.json").read_text())
NAMES = tuple(_RECORDED["models"])
TEXTS: list[str] = _RECORDED["texts"]


def write(folder: Path, name: str) -> Path:
    """Write the files of one of the models."""
    folder.mkdir(parents=True)
    for file, content in _RECORDED["models"][name]["files"].items():
        (folder / file).write_bytes(base64.b64decode(content))
    return folder


def vectors(name: str) -> NDArray[np.float32]:
    """The library's vectors of the texts, (N, D)."""
    return np.array(_RECORDED["models"][name]["vectors"], np.float32)
