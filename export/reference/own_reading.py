"""Own reading: answers of the original PyTorch model, by this program's reading of its files.

It is used if no library here does everything that a checkpoint asks for.
"""

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import normalizers

from app.model.batch import TokenizedInput
from app.proof.probes import Probes, ProbeText
from export import probe_texts
from export.checkpoint.read import Checkpoint
from export.config import splade
from export.config.layers import Weights
from export.errors import ExportError
from export.reference.answers import Answer, answered
from export.reference.head import for_tokens, vector
from export.reference.original import takes_types

_NO_WEIGHTS: Weights = {}


def compute(
    tokenizer: Any,
    model: Any,
    checkpoint: Checkpoint,
    texts: Sequence[ProbeText],
    weights: Weights = _NO_WEIGHTS,
) -> Probes:
    """Run every text or pair by itself in float32; vectors are pooled and not normalized.

    Raises: ExportError if the model fails, or yields something other than its configuration says.
    """
    if checkpoint.lower_case:
        _lower(tokenizer.backend_tokenizer)
    typed = takes_types(model)
    turn = threading.Lock()  # each call changes how the tokenizer truncates

    def ask(some: Sequence[ProbeText], prompt: str) -> list[Answer]:
        with turn:
            tokens = [_tokenize(tokenizer, text, prompt, checkpoint, typed=typed) for text in some]
        return [_answer(model, checkpoint, weights, one) for one in tokens]

    return answered(ask, texts, probe_texts.prompts(checkpoint, len(texts)), checkpoint)


def _tokenize(
    tokenizer: Any, text: ProbeText, prompt: str, checkpoint: Checkpoint, *, typed: bool
) -> TokenizedInput:
    limits = {"truncation": True, "max_length": checkpoint.max_input_length}
    before = prompt or checkpoint.default_prompt
    texts = (before + text,) if isinstance(text, str) else text
    encoding = tokenizer(*texts, **limits)
    ids = np.array(encoding["input_ids"], np.int64)
    types = np.array(encoding.get("token_type_ids", []) if typed else [], np.int64)
    skipped = 0
    if before and checkpoint.leaves_out_prompts:
        # sentence-transformers' rule: the tokens of a prompt, without a special one at its end
        alone = tokenizer(before, **limits)["input_ids"]
        skipped = len(alone) - (bool(alone) and alone[-1] in tokenizer.all_special_ids)
    if skipped >= len(ids):
        raise ExportError(f"the prompt {before!r} leaves no token of a text")
    return TokenizedInput(ids, types if types.any() else None, skipped)


def _lower(tokenizer: Any) -> None:
    """Make a tokenizer lower-case texts before anything else, as sentence-transformers does."""
    steps = [] if tokenizer.normalizer is None else [tokenizer.normalizer]
    tokenizer.normalizer = normalizers.Sequence([normalizers.Lowercase(), *steps])


def _answer(model: Any, checkpoint: Checkpoint, weights: Weights, tokens: TokenizedInput) -> Answer:
    input_ids = torch.from_numpy(tokens.input_ids)[None]
    feed = {"input_ids": input_ids, "attention_mask": torch.ones_like(input_ids)}
    if tokens.token_type_ids is not None:
        feed["token_type_ids"] = torch.from_numpy(tokens.token_type_ids)[None]
    with torch.inference_mode():
        outputs = model(**feed)
        if checkpoint.task in {"embedding", "multi_vector"}:
            states = outputs.last_hidden_state[0].numpy()
            each = for_tokens(checkpoint.tokens, weights, states)
            return Answer(tokens, _pooled(checkpoint, weights, states, tokens.prompt_length), each)
        logits = outputs.logits[0].numpy()
    if checkpoint.splade is not None:
        logits = splade.vector(logits, checkpoint.splade)
    return Answer(tokens, logits, {})


def _pooled(
    checkpoint: Checkpoint, weights: Weights, states: NDArray[np.float32], prompt_length: int
) -> NDArray[np.float32]:
    if checkpoint.head is None:  # there are vectors for tokens only
        return np.empty(0, np.float32)
    return vector(checkpoint.head, weights, states[prompt_length:], prompt_length)
