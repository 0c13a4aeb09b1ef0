"""ONNX reference: answers of a graph as it was found, pooled here, which the finished must match.

It stands in for the original model where only its ONNX form is at hand.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from tokenizers import Tokenizer

from app.inference.batch import TokenizedInput
from app.inference.manifest import TOKENIZER_FILE, PoolingMode
from app.inference.probes import Probes, ProbeText
from export.checkpoint import Checkpoint
from export.errors import ExportError
from export.source_graph import SourceGraph

Vector = NDArray[np.float32]


def _weighted_mean(tokens: Vector) -> Vector:
    """The mean, the n-th token weighing n."""
    weights = np.arange(1, len(tokens) + 1, dtype=np.float32)
    mean: Vector = weights @ tokens / weights.sum()
    return mean


# One text at a time, so there is no padding to leave out: (S, H) → (H,).
_POOLINGS: Mapping[PoolingMode, Callable[[Vector], Vector]] = MappingProxyType(
    {
        "cls": lambda tokens: tokens[0],
        "mean": lambda tokens: tokens.mean(axis=0, dtype=np.float32),
        "last_token": lambda tokens: tokens[-1],
        "max": lambda tokens: tokens.max(axis=0),
        "mean_sqrt_len_tokens": lambda tokens: (
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
    inputs = tuple(_tokenize(tokenizer, text) for text in texts)
    answers = [_answer(_run(session, graph, one, checkpoint), checkpoint) for one in inputs]
    return Probes(tuple(texts), inputs, np.stack(answers))


def _answer(output: Vector, checkpoint: Checkpoint) -> Vector:
    """What the model says of one text: (S, H) token embeddings or (S, V) logits to a vector."""
    if checkpoint.head is not None:
        [mode] = checkpoint.head.poolings
        return _POOLINGS[mode](output)
    if checkpoint.task == "splade":
        sparse: Vector = np.log1p(np.maximum(output, 0)).max(axis=0)
        return sparse
    return output


def _tokenizer(path: Path, max_length: int) -> Any:
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # noqa: BLE001  # the library raises bare Exception
        raise ExportError(f"{path} cannot be loaded: {_first_line(error)}") from None
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_length, direction="right")
    return tokenizer


def _tokenize(tokenizer: Any, text: ProbeText) -> TokenizedInput:
    encoding = tokenizer.encode(text) if isinstance(text, str) else tokenizer.encode(*text)
    types = np.array(encoding.type_ids, np.int64)
    return TokenizedInput(np.array(encoding.ids, np.int64), types if types.any() else None)


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
    row = tokens.input_ids[np.newaxis]
    types = tokens.token_type_ids
    every = {
        "input_ids": row,
        "attention_mask": np.ones_like(row),
        "token_type_ids": np.zeros_like(row) if types is None else types[np.newaxis],
        "position_ids": np.arange(len(tokens))[np.newaxis],
    }
    try:
        [found] = session.run([graph.output], {name: every[name] for name in graph.inputs})
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


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
