"""config.json of a tiny BERT, and how to write it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

CONFIG: dict[str, Any] = {
    "architectures": ["BertModel"],
    "model_type": "bert",
    "hidden_size": 32,
    "vocab_size": 100,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
}
Write = Callable[..., Path]
CLASSIFIER = {"architectures": ["BertForSequenceClassification"]}
