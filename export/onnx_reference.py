"""ONNX reference: answers of a graph as it was found, pooled here, which the finished must match.

It stands in for the original model where only its ONNX form is at hand.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from tokenizers import Tokenizer

from app.inference.agreement import WORST_COSINE
from app.inference.batch import TokenizedInput
from app.inference.manifest import TOKENIZER_FILE, PoolingMode
from app.inference.probes import Probes, ProbeText
from export import probes, splade
from export.checkpoint import Checkpoint
from export.errors import ExportError
from export.pooling_source import Decision
from export.source_graph import SourceGraph

Vector = NDArray[np.float32]
_ENOUGH = 32  # texts, by which one pooling is told from another
_USUAL: tuple[PoolingMode, ...] = ("mean", "cls", "last_token")


def _weighted_mean(tokens: Vector, before: int) -> Vector:
    """The mean, the n-th token of the text weighing n."""
    weights = np.arange(1, len(tokens) + 1, dtype=np.float32) + np.float32(before)
    mean: Vector = weights @ tokens / weights.sum()
    return mean


# One text at a time, so there is no padding to leave out: (S, H) → (H,), with the number of tokens
# before these.
_POOLINGS: Mapping[PoolingMode, Callable[[Vector, int], Vector]] = MappingProxyType(
    {
        "cls": lambda tokens, _: tokens[0],
        "mean": lambda tokens, _: tokens.mean(axis=0, dtype=np.float32),
        "last_token": lambda tokens, _: tokens[-1],
        "max": lambda tokens, _: tokens.max(axis=0),
        "mean_sqrt_len_tokens": lambda tokens, _: (
            tokens.sum(axis=0) / np.sqrt(np.float32(len(tokens)))
        ),
        "weightedmean": _weighted_mean,
    }
)


def compute(
    folder: Path, graph: SourceGraph, checkpoint: Checkpoint, texts: Sequence[ProbeText]
) -> Probes:
    """Run every text or pair by itself; vectors are pooled and not normalized.

    Raises: ExportError for a tokenizer or graph that cannot be loaded or run.
    """
    tokenizer = _tokenizer(folder / TOKENIZER_FILE, checkpoint.max_input_length)
    session = _session(graph.path)
    prompts = probes.prompts(checkpoint, len(texts))
    before = prompts or ("",) * len(texts)
    inputs = tuple(
        _tokenize(tokenizer, checkpoint, *one) for one in zip(texts, before, strict=True)
    )
    answers = [_answer(_run(session, graph, one, checkpoint), checkpoint, one) for one in inputs]
    return Probes(tuple(texts), inputs, np.stack(answers), prompts=prompts)


def settle(
    folder: Path, graph: SourceGraph, checkpoint: Checkpoint, texts: Sequence[ProbeText]
) -> Checkpoint:
    """The checkpoint, pooled as the vectors show that the graph itself yields, if it yields any.

    Raises: ExportError where nobody says how to pool, or where it is said otherwise than the graph
    has it.
    """
    doubt = checkpoint.decision.doubt if checkpoint.decision else None
    head = checkpoint.head
    if graph.answer is None or head is None:
        if head is not None and doubt is not None:
            raise ExportError(doubt)
        return checkpoint
    tokenizer = _tokenizer(folder / TOKENIZER_FILE, checkpoint.max_input_length)
    session = _session(graph.path)
    inputs = [_tokenize(tokenizer, checkpoint, text, "") for text in texts[:_ENOUGH]]
    states = [_run(session, graph, one, checkpoint) for one in inputs]
    own = [_own(session, graph, one) for one in inputs]
    for mode in head.poolings or _USUAL:
        pooled = [_POOLINGS[mode](one, 0) for one in states]
        if all(map(_same_direction, own, pooled)):
            if head.poolings:
                return checkpoint
            decision = Decision(None, f"{graph.answer} of the graph")
            return replace(checkpoint, head=replace(head, poolings=(mode,)), decision=decision)
    said = f"{head.pooling} (by {checkpoint.pooling_source})" if head.poolings else "any pooling"
    raise ExportError(
        f"{graph.path.name} yields {graph.answer}, and that is not {said} of its tokens: more is "
        "done to them in the graph, which is the model's own answer; export it from its original "
        "weights"
    )


def _same_direction(left: Vector, right: Vector) -> bool:
    if left.shape != right.shape:
        return False
    lengths = np.linalg.norm(left) * np.linalg.norm(right)
    return bool(lengths > 0 and left @ right >= WORST_COSINE["float32"] * lengths)


def _own(session: Any, graph: SourceGraph, tokens: TokenizedInput) -> Vector:
    """The vector that the graph itself makes of one text, (D,)."""
    try:
        [found] = session.run([graph.answer], _feed(graph, tokens))
    except Exception as error:  # noqa: BLE001  # onnxruntime's errors share no narrower base
        raise ExportError(f"{graph.path} cannot be run: {_first_line(error)}") from None
    vector: Vector = found[0].astype(np.float32)
    return vector


def _answer(output: Vector, checkpoint: Checkpoint, tokens: TokenizedInput) -> Vector:
    """What the model says of one text: (S, H) token embeddings or (S, V) logits to a vector."""
    if checkpoint.head is not None:
        [mode] = checkpoint.head.poolings
        before = tokens.prompt_length
        return _POOLINGS[mode](output[before:], before)
    if checkpoint.splade is not None:
        return splade.vector(output, checkpoint.splade)
    return output


def _tokenizer(path: Path, max_length: int) -> Any:
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # noqa: BLE001  # the library raises bare Exception
        raise ExportError(f"{path} cannot be loaded: {_first_line(error)}") from None
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_length, direction="right")
    return tokenizer


def _tokenize(
    tokenizer: Any, checkpoint: Checkpoint, text: ProbeText, prompt: str
) -> TokenizedInput:
    """The text behind a prompt, or where none is named behind the model's default."""
    prompt = prompt or checkpoint.default_prompt or ""
    texts = (prompt + text,) if isinstance(text, str) else text
    encoding = tokenizer.encode(*texts)
    types = np.array(encoding.type_ids, np.int64)
    left_out = bool(prompt) and checkpoint.leaves_out_prompts
    before = _prompt_length(tokenizer, prompt) if left_out else 0
    if before >= len(encoding.ids):
        raise ExportError(f"the prompt {prompt!r} leaves no token of a text")
    return TokenizedInput(np.array(encoding.ids, np.int64), types if types.any() else None, before)


def _prompt_length(tokenizer: Any, prompt: str) -> int:
    """Tokens of a prompt by sentence-transformers' rule: without a special one at its end."""
    ids = tokenizer.encode(prompt).ids
    added = tokenizer.get_added_tokens_decoder()
    return len(ids) - (bool(ids) and ids[-1] in added and added[ids[-1]].special)


def _session(path: Path) -> Any:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(
            path, options, providers=["CPUExecutionProvider"], enable_fallback=0
        )
    except Exception as error:  # noqa: BLE001  # onnxruntime's errors share no narrower base
        raise ExportError(f"{path} cannot be loaded: {_first_line(error)}") from None


def _run(
    session: Any, graph: SourceGraph, tokens: TokenizedInput, checkpoint: Checkpoint
) -> Vector:
    """The output for one text: (S, H) or (S, V), or of a classifier (L,)."""
    try:
        [found] = session.run([graph.output], _feed(graph, tokens))
    except Exception as error:  # noqa: BLE001  # onnxruntime's errors share no narrower base
        raise ExportError(f"{graph.path} cannot be run: {_first_line(error)}") from None
    width = checkpoint.dimensions
    expected = (1, width) if checkpoint.labels else (1, len(tokens), width)
    if found.shape != expected:
        raise ExportError(
            f"{graph.output} of the graph is {found.shape} for {len(tokens)} tokens, "
            f"expected {expected}"
        )
    vectors: Vector = found[0]
    return vectors


def _feed(graph: SourceGraph, tokens: TokenizedInput) -> dict[str, NDArray[np.int64]]:
    """What a graph is given of one text."""
    row = tokens.input_ids[np.newaxis]
    types = tokens.token_type_ids
    every = {
        "input_ids": row,
        "attention_mask": np.ones_like(row),
        "token_type_ids": np.zeros_like(row) if types is None else types[np.newaxis],
        "position_ids": np.arange(len(tokens))[np.newaxis],
    }
    return {name: every[name] for name in graph.inputs}


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
