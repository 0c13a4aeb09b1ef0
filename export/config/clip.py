"""CLIP: the text side of a checkpoint of texts and images. Images are not served.

A text's vector is the projection of its end token's state.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from app.model.names import PoolingChoice
from export.config.documents import Document
from export.config.sentence_modules import SentenceModules
from export.errors import ExportError

_CLASSES = frozenset({"CLIPModel", "CLIPTextModelWithProjection"})
# Defaults of transformers' CLIPTextConfig and CLIPConfig, which leave them out of config.json.
_USUAL: Mapping[str, Any] = MappingProxyType(
    {"vocab_size": 49408, "max_position_embeddings": 77, "pad_token_id": 1}
)
_USUAL_WIDTH = 512


def is_clip(architecture: str) -> bool:
    """Check whether a class of transformers is one of CLIP's that embed texts."""
    return architecture in _CLASSES


def text_side(config: Document, path: Path) -> Document:
    """Return config.json as a text encoder would have it, if it is CLIP's; any other unchanged."""
    if not any(map(is_clip, config.texts("architectures"))):
        return config
    width = config.value("projection_dim", int) or _USUAL_WIDTH
    own = {
        key: value
        for key in ("vocab_size", "max_position_embeddings", "pad_token_id", "eos_token_id")
        if (value := config.first_integer(key)) is not None
    }
    stated = {
        "architectures": config.texts("architectures"),
        "model_type": config.value("model_type", str),
        "hidden_size": width,
    }
    return Document(path, {**_USUAL, **own, **(config.value("text_config", dict) or {}), **stated})


def pooled(modules: SentenceModules, choice: PoolingChoice | None) -> SentenceModules:
    """Return the modules of a CLIP model with the pooling that its projection is trained for.

    Raises: ExportError if the checkpoint or the request pools it in another way.
    """
    if choice is not None or modules.poolings or modules.token_layers or modules.splade:
        raise ExportError(
            "CLIP pools by the end token, which its projection was trained for, and in no other "
            "way: export it without --pooling (POOLING=) and without a Pooling in modules.json"
        )
    return replace(modules, poolings=("last_token",), pooling_file="config.json")
