"""Model2Vec's own layout: `config.json`, `model.safetensors`, `tokenizer.json` in one folder.

Follows model2vec 0.10 (persistence/persistence.py, model.py). `embeddings` are the vectors of the
tokens; if the vocabulary was quantized, `mapping` leads from a token to its vector, and `weights`
scale it. That library writes a `modules.json` for sentence-transformers as well, which knows
neither mapping nor weights, and averages the unknown token too: the model's own library counts.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from app.model.manifest import TOKENIZER_FILE
from export.config.documents import Document, read_json
from export.errors import ExportError

WEIGHTS_FILE = "model.safetensors"
_CONFIG_FILE = "config.json"
_EMBEDDINGS, _OTHERS = "embeddings", {"weights", "mapping"}
_USUAL_LENGTH = 512
_LARGEST_HEADER = 1_000_000  # bytes; it names three tensors


@dataclass(frozen=True, slots=True)
class Settings:
    """The description of a model in its files, without its numbers."""

    normalize: bool
    max_length: int | None  # tokens of a text, the unknown ones included
    unknown: int | None  # the id of the token that is left out

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read the settings of a model.

        Raises: ExportError naming the file and the value that cannot be understood.
        """
        path = folder / _CONFIG_FILE
        config = Document.read(path)
        length = config.value("max_length", int)
        if length is None and "max_length" not in (read_json(path) or {}):
            length = _USUAL_LENGTH
        if length is not None and length < 1:
            raise ExportError(f"{path}: max_length: {length} must be at least 1")
        return cls(bool(config.value("normalize", bool)), length, _unknown(folder))


def is_there(folder: Path) -> bool:
    """Check whether a folder is a model in this layout."""
    if not all((folder / name).is_file() for name in (_CONFIG_FILE, TOKENIZER_FILE, WEIGHTS_FILE)):
        return False
    names = _tensor_names(folder / WEIGHTS_FILE)
    return _EMBEDDINGS in names and names <= {_EMBEDDINGS, *_OTHERS}


def _tensor_names(path: Path) -> set[str]:
    """Return the names in a safetensors file; none if it is none."""
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        if size > _LARGEST_HEADER:
            return set()
        try:
            header = json.loads(file.read(size))
        except ValueError:
            return set()
    return set(header) - {"__metadata__"} if isinstance(header, dict) else set()


def _unknown(folder: Path) -> int | None:
    """Return the id of the tokenizer's unknown token, or None if it has none."""
    tokenizer = Document.read(folder / TOKENIZER_FILE)
    model = tokenizer.value("model", dict) or {}
    if "unk_token" not in model:  # Unigram
        return model.get("unk_id")
    token = model["unk_token"]
    added = {one.get("content"): one.get("id") for one in tokenizer.objects("added_tokens")}
    found = added.get(token, (model.get("vocab") or {}).get(token))
    return found if isinstance(found, int) else None
