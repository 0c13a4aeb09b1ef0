"""Modules of sentence-transformers, in the notations before and since version 5."""

import json
from pathlib import Path
from typing import Any

OLD = "sentence_transformers.models."
NEW = {
    "Transformer": "sentence_transformers.base.modules.transformer.Transformer",
    "Pooling": "sentence_transformers.sentence_transformer.modules.pooling.Pooling",
    "Normalize": "sentence_transformers.sentence_transformer.modules.normalize.Normalize",
    "Dense": "sentence_transformers.base.modules.dense.Dense",
}


def put(path: Path, content: Any) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content))


def write(folder: Path, pooling: dict[str, Any], *types: str) -> Path:
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling/config.json").write_text(json.dumps(pooling))
    if types:
        entries = [
            {
                "idx": i,
                "name": str(i),
                "path": f"{i}_{kind.rpartition('.')[2]}" if i else "",
                "type": kind,
            }
            for i, kind in enumerate(types)
        ]
        (folder / "modules.json").write_text(json.dumps(entries))
    return folder
