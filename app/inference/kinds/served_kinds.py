"""Served kinds: dense, sparse and multi-vector answers to one request, of one pass of the model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from app.errors import ModelMismatch
from app.inference.admission import InputOptions
from app.inference.computing import Computed, Computing
from app.inference.kinds.finishing import (
    dense_vectors,
    require_positive,
    require_width,
    sparse_vectors,
    token_vectors,
)
from app.inference.tokenizing.encoding_input import EncodingInput
from app.inference.tokenizing.inputs_at_fault import FaultOf
from app.model.manifest import Manifest
from app.model.names import (
    LEXICAL_WEIGHTS,
    MULTI_VECTOR_EMBEDDING,
    SENTENCE_EMBEDDING,
    SPARSE_EMBEDDING,
    VectorKind,
)
from app.model.parts import Lexical, MultiVector
from app.model.vectors import SparseVector
from app.records import record


@record()
class AskedKinds:
    """The kinds of vectors that a request asks for, and how the dense ones are to be."""

    kinds: Sequence[VectorKind]
    normalize: bool = True
    dimensions: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class KindVectors:
    """The vectors of N inputs, of each kind that was asked for."""

    dense: NDArray[Any] | None  # (N, D), float32 as computed
    sparse: Sequence[SparseVector] | None  # N
    multi_vector: Sequence[NDArray[np.float32]] | None  # N × (Sᵢ, D)


@dataclass(frozen=True, slots=True)
class ServedKinds:
    """The kinds of vectors that a model answers with, and what they are made of."""

    outputs: Mapping[VectorKind, str] = field(default_factory=dict)  # of the graph
    dimensions: int = 0  # of the dense ones
    lexical: Lexical | None = None
    multi_vector: MultiVector | None = None

    @classmethod
    def of(cls, manifest: Manifest, dense: str, *, embed_all: bool) -> Self:
        """Return those of a model whose dense vectors are this output of its graph."""
        outputs = outputs_of(manifest, dense)
        if not embed_all:
            outputs.pop("multi_vector", None)
        return cls(outputs, manifest.dimensions, manifest.lexical, manifest.multi_vector)

    async def vectors(
        self,
        computing: Computing,
        inputs: Sequence[EncodingInput],
        options: InputOptions,
        asked: AskedKinds,
    ) -> Computed[KindVectors]:
        """Compute a request's inputs once, and return the vectors of each kind it asks for.

        Checks in TEI's order, as the engine does. Raises: ServiceError.
        """

        def check() -> None:
            self._require(asked.kinds)
            require_positive(asked.dimensions)

        outputs = tuple(self.outputs[kind] for kind in asked.kinds if kind in self.outputs)
        rows = await computing.rows(inputs, options, outputs, check)
        if asked.dimensions is not None:
            with FaultOf(len(inputs)):
                require_width(asked.dimensions, self.dimensions)
        columns = dict(zip(asked.kinds, rows.columns, strict=True))
        dense = sparse = multi_vector = None
        if "dense" in columns:
            dense = await dense_vectors(
                columns["dense"], normalize=asked.normalize, dimensions=asked.dimensions
            )
        if "sparse" in columns:
            sparse = sparse_vectors(rows.inputs, columns["sparse"], self.lexical)
        if "multi_vector" in columns:
            multi_vector = token_vectors(rows.inputs, columns["multi_vector"], self.multi_vector)
        return rows.answer(KindVectors(dense, sparse, multi_vector))

    def _require(self, kinds: Sequence[VectorKind]) -> None:
        for kind in kinds:
            if kind not in self.outputs:
                found = ", ".join(f"`{one}`" for one in self.outputs)
                raise ModelMismatch(
                    f"Backend error: `output_types`: `{kind}` is not available, "
                    + (f"the model has {found}" if found else "the model has no vectors")
                )


NO_KINDS = ServedKinds()


def outputs_of(manifest: Manifest, dense: str = SENTENCE_EMBEDDING) -> dict[VectorKind, str]:
    """Return the graph's output behind each kind of vector that a model has."""
    found: dict[VectorKind, str] = {}
    if manifest.task == "embedding":
        found["dense"] = dense
    if manifest.task == "splade":
        found["sparse"] = SPARSE_EMBEDDING
    if manifest.lexical is not None:
        found["sparse"] = LEXICAL_WEIGHTS
    if manifest.multi_vector is not None:
        found["multi_vector"] = MULTI_VECTOR_EMBEDDING
    return found
