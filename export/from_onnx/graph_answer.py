"""Graph answer: the output to serve of a graph that itself yields a text's vector.

It must equal that vector: a pooling if one gives it, else the graph's own output.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from app.model.names import PoolingMode
from app.proof.bounds import WORST_COSINE
from app.proof.probes import ProbeText
from export.checkpoint.pooling_source import OPTION, Decision
from export.checkpoint.read import Checkpoint
from export.config import sentence_settings
from export.config.layers import Head, Normalize, Weights
from export.errors import ExportError
from export.from_onnx.graph import SourceGraph
from export.from_onnx.reference import Found
from export.reference import head as heads

Vector = NDArray[np.float32]
_ENOUGH = 32  # texts that tell one pooling from another
_USUAL: tuple[PoolingMode, ...] = ("mean", "cls", "last_token")
_NEAR = 1e-3  # relative difference of two lengths that count as equal


@dataclass(frozen=True, slots=True)
class _Shown:
    """A graph's outputs for some texts: token embeddings (S, H), if any, and a vector (D,)."""

    states: Sequence[Vector]
    vectors: Sequence[Vector]

    def by(self, head: Head, weights: Weights) -> Head | None:
        """Return the head if it computes these vectors from the tokens, else None.

        If they have unit length, the head ends in a Normalize, which no request can undo.
        """
        if not self.states:
            return None
        made = [heads.vector(head, weights, one) for one in self.states]
        if not all(map(_same_direction, self.vectors, made)):
            return None
        if all(map(_same_length, self.vectors, made)):
            return head
        if all(abs(np.linalg.norm(one) - 1) <= _NEAR for one in self.vectors):
            return replace(head, layers=(*head.layers, Normalize()))
        return None


def settle(
    root: Path,
    tokenizer: Path,
    graph: SourceGraph,
    checkpoint: Checkpoint,
    texts: Sequence[ProbeText],
    weights: Weights,
) -> Checkpoint:
    """Return the checkpoint with a head that gives the graph's own vectors, if it yields any.

    `root` is the folder of sentence-transformers' settings, `tokenizer` the file that is served.

    Raises: ExportError if nothing says how to pool, or if the graph pools in another way than an
    option or a file says.
    """
    head = checkpoint.head
    if head is None:
        return checkpoint
    if graph.answer is None:
        if checkpoint.decision is not None and checkpoint.decision.doubt is not None:
            raise ExportError(checkpoint.decision.doubt)
        return checkpoint
    found = Found.load(tokenizer, graph, checkpoint)
    inputs = [found.tokenize(text) for text in texts[:_ENOUGH]]
    states = [found.states(one) for one in inputs] if graph.output else []
    shown = _Shown(states, [found.own_vector(one) for one in inputs])
    if head.poolings and all(layer in weights for layer in head.layers if layer.shapes):
        same = shown.by(replace(head, cut=None), weights)
        if same is not None:
            return replace(checkpoint, head=replace(same, cut=head.cut))
    decision = Decision(None, f"{graph.answer} of the graph")
    pooled = None if head.layers else _pooled(shown)
    if pooled is None:
        _refuse_otherwise(graph, checkpoint)
        return replace(_handed_out(root, checkpoint, len(shown.vectors[0])), decision=decision)
    if head.poolings:
        raise ExportError(
            f"{graph.path.name} yields {graph.answer}, which is {pooled.poolings[0]} of its "
            f"tokens, and that is not {checkpoint.pooling} (by {checkpoint.pooling_source}): where "
            f"the graph is right, name --pooling {pooled.poolings[0].replace('_', '-')} (POOLING=)"
        )
    settled = replace(pooled, cut=head.cut, include_prompt=head.include_prompt)
    return replace(checkpoint, head=settled, decision=decision)


def _pooled(shown: _Shown) -> Head | None:
    found = (shown.by(Head((mode,)), {}) for mode in _USUAL)
    return next((head for head in found if head is not None), None)


def _refuse_otherwise(graph: SourceGraph, checkpoint: Checkpoint) -> None:
    """Raise ExportError if an option or a file asks for other vectors than the graph's own."""
    name = f"{graph.path.name} yields {graph.answer}"
    if checkpoint.pooling_source == OPTION:
        what = f"and that is not {checkpoint.pooling} of" if graph.output else "and not"
        raise ExportError(
            f"{name}, {what} its tokens (by {OPTION}): leave the option out (POOLING=) to serve "
            "what the graph yields"
        )
    if checkpoint.leaves_out_prompts:
        raise ExportError(
            f"{name}, which has a prompt's tokens in it, and {checkpoint.pooling_source} has them "
            "left out: export the model from its original weights"
        )


def _handed_out(root: Path, checkpoint: Checkpoint, width: int) -> Checkpoint:
    """Return the checkpoint with the graph's own vectors, `width` values before any cut."""
    cut = sentence_settings.read(root).truncate_dim
    cut = cut if cut is not None and cut < width else None
    head = Head((), cut=cut, graph_width=width)
    return replace(checkpoint, head=head, dimensions=cut or width)


def _same_length(left: Vector, right: Vector) -> bool:
    return bool(abs(np.linalg.norm(left) / np.linalg.norm(right) - 1) <= _NEAR)


def _same_direction(left: Vector, right: Vector) -> bool:
    if left.shape != right.shape:
        return False
    lengths = np.linalg.norm(left) * np.linalg.norm(right)
    return bool(lengths > 0 and left @ right >= WORST_COSINE["float32"] * lengths)
