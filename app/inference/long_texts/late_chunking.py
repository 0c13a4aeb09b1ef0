"""Late chunking: which models can do it, and the vectors of a text's chunks.

A chunk's vector is the mean of its tokens' vectors, each computed in the context of the whole text
(Günther et al., arXiv 2409.04701). That is a model's own kind of vector only if it takes the mean
of all tokens, and nothing else.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from app.errors import ModelMismatch
from app.inference.admission import InputOptions
from app.inference.computing import Computed
from app.inference.kinds.finishing import dense_vectors, require_positive, require_width
from app.inference.long_texts.long_texts import Chunked, LongTexts
from app.inference.tokenizing.inputs_at_fault import FaultOf
from app.model.manifest import Manifest
from app.model.names import POOLED_OUTPUTS, SENTENCE_EMBEDDING, TOKEN_EMBEDDINGS

_POOLINGS = {output: pooling for pooling, output in POOLED_OUTPUTS.items()}
_PREFIX = "Backend error: late chunking is not available"


@dataclass(frozen=True, slots=True)
class LateChunking:
    """The model's support for late chunking, and the width of its vectors."""

    refusal: str | None = None  # why it cannot
    dimensions: int = 0

    @classmethod
    def of(cls, manifest: Manifest, output: str, *, embed_all: bool) -> Self:
        """Return that of a model whose dense vectors are this output of its graph."""
        return cls(_refusal(manifest, output, embed_all=embed_all), manifest.dimensions)

    async def vectors(
        self,
        long_texts: LongTexts,
        asked: Chunked,
        options: InputOptions,
        *,
        normalize: bool,
        dimensions: int | None,
    ) -> Computed[NDArray[np.float32]]:
        """Return one vector for each chunk of a text, (M, D); raises ServiceError."""

        def check() -> None:
            require_positive(dimensions)
            if self.refusal is not None:
                raise ModelMismatch(f"{_PREFIX}: {self.refusal}")

        rows = await long_texts.chunks(asked, options, check)
        if dimensions is not None:
            with FaultOf(asked.inputs):
                require_width(dimensions, self.dimensions)
        vectors = await dense_vectors(rows.values, normalize=normalize, dimensions=dimensions)
        return rows.answer(vectors)


NO_LATE_CHUNKING = LateChunking("the model is not an embedding model")


def _refusal(manifest: Manifest, output: str, *, embed_all: bool) -> str | None:
    if manifest.task != "embedding":
        return NO_LATE_CHUNKING.refusal
    if manifest.routes:
        return "the model is static, or embeds queries and documents in different ways"
    pooling = manifest.pooling if output == SENTENCE_EMBEDDING else _POOLINGS.get(output)
    if pooling != "mean":
        return f"it needs a model that takes the mean of its tokens, and this one's is {pooling}"
    # A graph has an output for each pooling only where a vector is one pooling and nothing else.
    needed = {TOKEN_EMBEDDINGS, POOLED_OUTPUTS["mean"]}
    if not any(needed <= set(graph.outputs) for graph in manifest.graphs):
        return "the model's vectors are more than the mean of its tokens"
    if not embed_all:
        return (
            "it needs a vector for each token, and the service was started with --embed-all false"
        )
    return None
