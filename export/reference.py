"""Reference: token ids and vectors of the original PyTorch model, which the export must match."""

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
import transformers
from safetensors import SafetensorError

from app.inference.batch import TokenizedInput
from app.inference.manifest import Pooling
from app.inference.proof import Probes
from export.checkpoint import Checkpoint
from export.errors import ExportError

# One text at a time, so there is no padding to leave out: (S, H) → (H,).
_POOLINGS: Mapping[Pooling, Callable[[torch.Tensor], torch.Tensor]] = MappingProxyType(
    {
        "cls": lambda tokens: tokens[0],
        "mean": lambda tokens: tokens.mean(dim=0),
        "last_token": lambda tokens: tokens[-1],
    }
)


def compute(folder: Path, checkpoint: Checkpoint, texts: Sequence[str]) -> Probes:
    """Encode every text by itself in float32, pooled and not normalized.

    Raises: ExportError when transformers cannot load the model, or not all of it.
    """
    transformers.logging.set_verbosity(logging.ERROR)
    auto_tokenizer: Any = transformers.AutoTokenizer  # carries no types
    try:
        tokenizer = auto_tokenizer.from_pretrained(folder, local_files_only=True)
        model, loading = transformers.AutoModel.from_pretrained(
            folder, local_files_only=True, dtype=torch.float32, output_loading_info=True
        )
    except (SafetensorError, OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ExportError(f"transformers cannot load the model: {reason}") from error
    _check_complete(loading["missing_keys"])
    model.eval()
    # ModernBERT would compile itself anew for each length, half a minute for a tiny model.
    model.config.reference_compile = False
    ids = [_encode(tokenizer, text, checkpoint.max_input_length) for text in texts]
    vectors = [_embed(model, item, checkpoint.pooling) for item in ids]
    inputs = tuple(TokenizedInput(np.array(item, np.int64)) for item in ids)
    return Probes(tuple(texts), inputs, np.stack(vectors))


def _check_complete(missing: Sequence[str]) -> None:
    """Weights that a checkpoint lacks are drawn at random; only the unused pooler may be."""
    lacking = [name for name in missing if not name.startswith("pooler.")]
    if lacking:
        raise ExportError(
            f"the weights lack {lacking[0]} and {len(lacking) - 1} more: the checkpoint does not "
            "fit the architecture in its config.json"
        )


def _encode(tokenizer: Any, text: str, max_length: int) -> list[int]:
    # The server truncates on the right by default, whatever tokenizer_config.json says.
    tokenizer.truncation_side = "right"
    ids: list[int] = tokenizer(text, truncation=True, max_length=max_length)["input_ids"]
    return ids


def _embed(model: Any, ids: Sequence[int], pooling: Pooling) -> np.ndarray[Any, Any]:
    input_ids = torch.tensor([ids])
    with torch.inference_mode():
        outputs = model(input_ids=input_ids, attention_mask=torch.ones_like(input_ids))
    vector: np.ndarray[Any, Any] = _POOLINGS[pooling](outputs.last_hidden_state[0]).numpy()
    return vector
