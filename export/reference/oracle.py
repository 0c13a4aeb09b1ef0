"""Oracle: a checkpoint's answers to the probes, from the library that its users would call.

A proof is worth as much as its reference is independent of this program:
docs/decisions/0025-the-library-is-the-reference.md.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field

from app.model.names import Reference
from app.proof.probes import Probes, ProbeText
from export.checkpoint.read import Checkpoint
from export.config.layers import Weights
from export.errors import ExportError
from export.reference import original, own_reading, pipeline, sentence_transformers
from export.reference.chats import Chat
from export.reference.original import Loading
from export.reference.sentence_transformers import Unloadable

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Told:
    """The answers to the probes, and what gave them."""

    probes: Probes
    by: Reference
    chat: Chat = field(default_factory=Chat)  # how a reranker reads a pair


def ask(
    loading: Loading, checkpoint: Checkpoint, texts: Sequence[ProbeText], weights: Weights
) -> Told:
    """Ask sentence-transformers, or for a classifier transformers; else read the files ourselves.

    `weights` are those of the layers behind the encoder.

    Raises: ExportError if the model fails, or yields something other than its files say.
    """
    if checkpoint.task in sentence_transformers.TASKS:
        try:
            found = sentence_transformers.compute(loading, checkpoint, texts, weights)
        except Unloadable as error:
            if checkpoint.causal is not None:
                raise ExportError(
                    f"the model is a reranker (by {checkpoint.causal.source}), and "
                    f"sentence-transformers cannot run it: {error}"
                ) from error
            logger.warning(
                "sentence-transformers cannot run the model (%s): the proof compares "
                "with what this program reads out of its files",
                error,
            )
        else:
            return Told(found.probes, "sentence-transformers", found.chat)
    tokenizer, model = original.load(checkpoint, trust_code=loading.trust_code)
    if checkpoint.task == "classifier":
        return Told(pipeline.compute(tokenizer, model, checkpoint, texts), "transformers")
    return Told(own_reading.compute(tokenizer, model, checkpoint, texts, weights), "pytorch")
