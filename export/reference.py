"""Reference: token ids and answers of the original PyTorch model, which the export must match."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from tokenizers import normalizers

from app.inference.batch import TokenizedInput
from app.inference.manifest import LEXICAL_WEIGHTS, MULTI_VECTOR_EMBEDDING
from app.inference.probes import Probes, ProbeText
from app.inference.token_answers import kept
from export import probes, splade
from export.checkpoint import Checkpoint
from export.errors import ExportError
from export.head_reference import through, vector
from export.layers import Weights
from export.original import takes_types

_NO_WEIGHTS: Weights = {}


@dataclass(frozen=True, slots=True, eq=False)
class _Answer:
    """What the model says of one input: of the whole, and of those tokens that a probe keeps."""

    vector: np.ndarray[Any, Any]
    tokens: Mapping[str, np.ndarray[Any, Any]]


def compute(
    tokenizer: Any,
    model: Any,
    checkpoint: Checkpoint,
    texts: Sequence[ProbeText],
    weights: Weights = _NO_WEIGHTS,
) -> Probes:
    """Run every text or pair by itself in float32; vectors are pooled and not normalized.

    Raises: ExportError when the model fails, or yields something else than its configuration says.
    """
    if checkpoint.lower_case:
        _lower(tokenizer.backend_tokenizer)
    typed = takes_types(model)
    prompts = probes.prompts(checkpoint, len(texts))
    try:
        inputs = [
            _encode(tokenizer, text, prompt, checkpoint.max_input_length, typed=typed)
            for text, prompt in zip(texts, prompts or ("",) * len(texts), strict=True)
        ]
        answers = _answers(model, inputs, checkpoint, weights)
    except ExportError:
        raise
    except Exception as error:  # what a strange config.json makes of a model is anything
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ExportError(
            f"the original model in {checkpoint.folder} cannot be run: {reason}"
        ) from error
    vectors = np.stack([one.vector for one in answers])
    tokens = {
        name: np.concatenate([one.tokens[name] for one in answers]) for name in answers[0].tokens
    }
    if checkpoint.task != "multi_vector" and vectors.shape[1] != checkpoint.dimensions:
        raise ExportError(
            f"the model yields {vectors.shape[1]} values where config.json states "
            f"{checkpoint.dimensions}: it does not belong to these weights"
        )
    return Probes(tuple(texts), tuple(inputs), vectors, tokens, prompts)


def _encode(
    tokenizer: Any, text: ProbeText, prompt: str, max_length: int, *, typed: bool
) -> TokenizedInput:
    texts = (prompt + text,) if isinstance(text, str) else text
    encoding = tokenizer(*texts, truncation=True, max_length=max_length)
    ids = np.array(encoding["input_ids"], np.int64)
    types = np.array(encoding.get("token_type_ids", []) if typed else [], np.int64)
    before = _prompt_length(tokenizer, prompt, max_length) if prompt else 0
    if before >= len(ids):
        raise ExportError(f"the prompt {prompt!r} leaves no token of a text")
    return TokenizedInput(ids, types if types.any() else None, before)


def _prompt_length(tokenizer: Any, prompt: str, max_length: int) -> int:
    """Tokens of a prompt by sentence-transformers' rule: without a special one at its end."""
    ids = tokenizer(prompt, truncation=True, max_length=max_length)["input_ids"]
    return len(ids) - (bool(ids) and ids[-1] in tokenizer.all_special_ids)


def _lower(tokenizer: Any) -> None:
    """Have a tokenizer lower-case before anything else, as sentence-transformers does."""
    steps = [] if tokenizer.normalizer is None else [tokenizer.normalizer]
    tokenizer.normalizer = normalizers.Sequence([normalizers.Lowercase(), *steps])


def _answers(
    model: Any, inputs: Sequence[TokenizedInput], checkpoint: Checkpoint, weights: Weights
) -> list[_Answer]:
    """The answer to each input, several at a time.

    Torch computes each on one thread: its own threads wait for each other by spinning, which on a
    machine with other work to do takes ten times as long.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(threads) as pool:
            answer = partial(_answer, model, checkpoint, weights)
            return list(pool.map(answer, inputs))
    finally:
        torch.set_num_threads(threads)


def _answer(
    model: Any, checkpoint: Checkpoint, weights: Weights, tokens: TokenizedInput
) -> _Answer:
    input_ids = torch.from_numpy(tokens.input_ids)[None]
    feed = {"input_ids": input_ids, "attention_mask": torch.ones_like(input_ids)}
    if tokens.token_type_ids is not None:
        feed["token_type_ids"] = torch.from_numpy(tokens.token_type_ids)[None]
    with torch.inference_mode():
        outputs = model(**feed)
        if checkpoint.task in {"embedding", "multi_vector"}:
            states = outputs.last_hidden_state[0]
            return _embedded(checkpoint, weights, states, tokens.prompt_length)
        logits = outputs.logits[0].numpy()
    if checkpoint.splade is not None:
        logits = splade.vector(logits, checkpoint.splade)
    return _Answer(logits, {})


def _embedded(
    checkpoint: Checkpoint, weights: Weights, tokens: torch.Tensor, prompt_length: int
) -> _Answer:
    """What a checkpoint makes of the token embeddings of one text, (S, H)."""
    heads = checkpoint.tokens
    found = {}
    if heads.lexical:
        found[LEXICAL_WEIGHTS] = through(heads.lexical, weights, tokens)[:, 0]
    if heads.multi_vector:
        found[MULTI_VECTOR_EMBEDDING] = through(heads.multi_vector, weights, tokens)
    each = {name: values.numpy()[kept(name, len(tokens))] for name, values in found.items()}
    if checkpoint.head is None:  # there are vectors for tokens only
        return _Answer(np.empty(0, np.float32), each)
    return _Answer(vector(checkpoint.head, weights, tokens, prompt_length).numpy(), each)
