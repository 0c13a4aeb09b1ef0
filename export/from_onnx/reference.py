"""ONNX reference: answers of a graph as it was found, with its head computed here in NumPy.

It stands in for the original model if only its ONNX form is at hand.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from tokenizers import Tokenizer

from app.model.batch import TokenizedInput
from app.proof.probes import Probes, ProbeText
from export import probe_texts
from export.checkpoint.read import Checkpoint
from export.config import splade
from export.config.layers import Weights
from export.errors import ExportError, first_line
from export.from_onnx.graph import SourceGraph
from export.reference import head as heads

Vector = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Found:
    """A graph as it was found, ready to run, and the tokenizer beside it."""

    graph: SourceGraph
    checkpoint: Checkpoint
    session: Any
    tokenizer: Any

    @classmethod
    def load(cls, tokenizer: Path, graph: SourceGraph, checkpoint: Checkpoint) -> Self:
        """Load both.

        Raises: ExportError if the tokenizer or the graph cannot be loaded.
        """
        loaded = _tokenizer(tokenizer, checkpoint.max_input_length)
        session = _session(graph.path, as_written=graph.quantized)
        return cls(graph, checkpoint, session, loaded)

    def tokenize(self, text: ProbeText, prompt: str = "") -> TokenizedInput:
        """Tokenize a text behind a prompt, or behind the model's default if none is named.

        Raises: ExportError if the prompt leaves no token of the text.
        """
        prompt = prompt or self.checkpoint.default_prompt or ""
        texts = (prompt + text,) if isinstance(text, str) else text
        encoding = self.tokenizer.encode(*texts)
        types = np.array(encoding.type_ids, np.int64)
        left_out = bool(prompt) and self.checkpoint.leaves_out_prompts
        before = self._prompt_length(prompt) if left_out else 0
        if before >= len(encoding.ids):
            raise ExportError(f"the prompt {prompt!r} leaves no token of a text")
        ids = np.array(encoding.ids, np.int64)
        return TokenizedInput(ids, types if types.any() else None, before)

    def states(self, tokens: TokenizedInput) -> Vector:
        """Return the output for one text: (S, H), (S, V), or (L,) of a classifier.

        Raises: ExportError if the graph cannot be run, or if the output has another shape.
        """
        found = self._run(str(self.graph.output), tokens)
        width = self.checkpoint.encoder_width
        expected = (1, width) if self.checkpoint.labels else (1, len(tokens), width)
        if found.shape != expected:
            raise ExportError(
                f"{self.graph.output} of the graph is {found.shape} for {len(tokens)} tokens, "
                f"expected {expected}"
            )
        vectors: Vector = found[0]
        return vectors

    def own_vector(self, tokens: TokenizedInput) -> Vector:
        """Return the vector that the graph itself yields for one text, (D,).

        Raises: ExportError if the graph cannot be run, or if the output has another shape.
        """
        found = self._run(str(self.graph.answer), tokens)
        if found.shape[:-1] != (1,):
            raise ExportError(f"{self.graph.answer} of the graph is {found.shape} for one text")
        vector: Vector = found[0]
        return vector

    def answer(self, tokens: TokenizedInput, weights: Weights) -> Vector:
        """Return the model's answer to one text: a vector (D,), or logits (L,)."""
        head = self.checkpoint.head
        if head is not None and head.graph_width is not None:
            return self.own_vector(tokens)[: head.cut]
        output = self.states(tokens)
        if head is not None:
            before = tokens.prompt_length
            return heads.vector(head, weights, output[before:], before)
        if self.checkpoint.splade is not None:
            return splade.vector(output, self.checkpoint.splade)
        return output

    def _run(self, output: str, tokens: TokenizedInput) -> Vector:
        try:
            [found] = self.session.run([output], _feed(self.graph, tokens))
        except Exception as error:  # noqa: BLE001  # onnxruntime's errors share no narrower base
            raise ExportError(f"{self.graph.path} cannot be run: {first_line(error)}") from None
        vectors: Vector = found
        return vectors

    def _prompt_length(self, prompt: str) -> int:
        """Count a prompt as sentence-transformers does: without a special token at its end."""
        ids = self.tokenizer.encode(prompt).ids
        added = self.tokenizer.get_added_tokens_decoder()
        return len(ids) - (bool(ids) and ids[-1] in added and added[ids[-1]].special)


def compute(
    tokenizer: Path,
    graph: SourceGraph,
    checkpoint: Checkpoint,
    texts: Sequence[ProbeText],
    weights: Weights,
) -> Probes:
    """Run every text or pair by itself; vectors are those of the head, and not normalized.

    Raises: ExportError if the tokenizer or the graph cannot be loaded or run.
    """
    found = Found.load(tokenizer, graph, checkpoint)
    prompts = probe_texts.prompts(checkpoint, len(texts))
    before = prompts or ("",) * len(texts)
    inputs = tuple(map(found.tokenize, texts, before))
    answers = [found.answer(one, weights) for one in inputs]
    return Probes(tuple(texts), inputs, np.stack(answers), prompts=prompts)


def _tokenizer(path: Path, max_length: int) -> Any:
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # noqa: BLE001  # the library raises bare Exception
        raise ExportError(f"{path} cannot be loaded: {first_line(error)}") from None
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_length, direction="right")
    return tokenizer


def _session(path: Path, *, as_written: bool) -> Any:
    """Open a session; `as_written` fuses nothing.

    Rounding to 8 bits yields another value if a fused operator differs in the last bit: for a
    MiniLM that was quantized dynamically, the worst cosine between both is 0.996.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if as_written:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    # For a quantized graph: slower on processors whose sums of bytes may overflow, but right.
    options.add_session_config_entry("session.x64quantprecision", "1")
    try:
        return onnxruntime.InferenceSession(
            path, options, providers=["CPUExecutionProvider"], enable_fallback=0
        )
    except Exception as error:  # noqa: BLE001  # onnxruntime's errors share no narrower base
        raise ExportError(f"{path} cannot be loaded: {first_line(error)}") from None


def _feed(graph: SourceGraph, tokens: TokenizedInput) -> dict[str, NDArray[np.int64]]:
    """Return the inputs of a graph for one text."""
    row = tokens.input_ids[np.newaxis]
    types = tokens.token_type_ids
    every = {
        "input_ids": row,
        "attention_mask": np.ones_like(row),
        "token_type_ids": np.zeros_like(row) if types is None else types[np.newaxis],
        "position_ids": np.arange(len(tokens))[np.newaxis],
    }
    return {name: every[name] for name in graph.inputs}
