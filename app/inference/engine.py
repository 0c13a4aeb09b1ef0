"""Engine: inputs in, rows of the model out. The only door from the API to the model.

Lives on one event loop, to which every job returns. Each verb checks in the order of TEI 1.9.3:
batch size, permits, kind of model, tokens, model, width.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from app.errors import ModelMismatch
from app.inference.admission import Admission, InputOptions
from app.inference.batching.gathering import Jobs
from app.inference.computing import UNTOLD, Computed, Progress, Ready, at_once
from app.inference.kinds.finishing import (
    dense_vectors,
    require_positive,
    require_width,
    sparse_vectors,
    token_vectors,
)
from app.inference.kinds.served_kinds import NO_KINDS, AskedKinds, KindVectors, ServedKinds
from app.inference.long_texts.late_chunking import NO_LATE_CHUNKING, LateChunking
from app.inference.long_texts.long_texts import Chunked, LongTexts
from app.inference.pooling_option import output_for, require_pooling
from app.inference.reuse.reuse import Reuse
from app.inference.tokenizing.encoding_input import EncodingInput
from app.inference.tokenizing.inputs_at_fault import FaultOf
from app.model.manifest import Manifest
from app.model.names import (
    LEXICAL_WEIGHTS,
    LOGITS,
    MULTI_VECTOR_EMBEDDING,
    SPARSE_EMBEDDING,
    TOKEN_EMBEDDINGS,
    Activation,
    Task,
)
from app.model.parts import Lexical, MultiVector
from app.model.vectors import Scores, SparseVector, require_finite, scores
from app.options.settings import Settings

T = TypeVar("T")

PROBE_TEXT = "health"
NOT_AN_EMBEDDER = "Backend error: Model is not an embedding model"
ONLY_TOKENS = "it has no vector for a whole text, /embed_all gives those of its tokens"


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """The part of the model and the configuration that holds for every request."""

    task: Task
    output: str  # the graph's output that holds dense embeddings
    dimensions: int  # width of the model's main output
    has_tokens: bool = True  # whether an embedder yields a vector for each token too
    embed_all: bool = True  # whether they may be asked for
    lexical: Lexical | None = None  # sparse vectors beside the dense ones
    multi_vector: MultiVector | None = None  # token vectors for late interaction
    kinds: ServedKinds = NO_KINDS  # of vectors, for requests that name them
    late_chunking: LateChunking = NO_LATE_CHUNKING

    @classmethod
    def of(cls, settings: Settings, manifest: Manifest) -> Self:
        """Return the options of a model served with these settings.

        Raises: StartupError for a --pooling that the model does not have.
        """
        require_pooling(settings, manifest)
        output = output_for(manifest, settings.pooling)
        return cls(
            task=manifest.task,
            output=output,
            dimensions=manifest.dimensions,
            has_tokens=any(TOKEN_EMBEDDINGS in graph.outputs for graph in manifest.graphs),
            embed_all=settings.embed_all,
            lexical=manifest.lexical,
            multi_vector=manifest.multi_vector,
            kinds=ServedKinds.of(manifest, output, embed_all=settings.embed_all),
            late_chunking=LateChunking.of(manifest, output, embed_all=settings.embed_all),
        )


Vectors = Computed[NDArray[np.float32]]  # (N, D)
Predictions = Computed[Scores]  # (N, L)
SparseVectors = Computed[list[SparseVector]]  # N
TokenVectors = Computed[list[NDArray[np.float32]]]  # N × (Sᵢ, H)
VectorsOfKinds = Computed[KindVectors]


class Engine:
    """The verbs of the service over one model; each raises ServiceError.

    Cancelling a verb frees its permits at once; its rows not yet in a batch are never computed. If
    several inputs are at fault, the error is that of the first.
    """

    def __init__(
        self,
        options: EngineOptions,
        admission: Admission,
        jobs: Jobs,
        reuse: Reuse,
        ready: Ready = at_once,
        progress: Progress = UNTOLD,
    ) -> None:
        self._options = options
        self.admission = admission
        self._jobs = jobs
        self._reuse = reuse
        self._ready = ready
        self._computing = LongTexts(admission, jobs, options.dimensions, progress, ready, reuse)

    def within(self, granted: int) -> Self:
        """Return the same engine for parts of a request that already holds `granted` permits."""
        admission = self.admission.within(granted)
        return type(self)(self._options, admission, self._jobs, self._reuse, self._ready)

    def telling(self, progress: Progress) -> Self:
        """Return the same engine for one request, reporting its progress."""
        return type(self)(
            self._options, self.admission, self._jobs, self._reuse, self._ready, progress
        )

    @property
    def task(self) -> Task:
        """The kind of model that is served."""
        return self._options.task

    async def embed(
        self,
        inputs: Sequence[EncodingInput],
        options: InputOptions,
        *,
        normalize: bool = True,
        dimensions: int | None = None,
    ) -> Vectors:
        """Return one vector for each input; from a SPLADE model, as wide as its vocabulary."""
        task = self._options.task

        def check() -> None:
            if task == "splade" and normalize:
                raise ModelMismatch("Backend error: `normalize` is not available for SPLADE models")
            require_positive(dimensions)
            if task == "multi_vector":
                raise ModelMismatch(f"{NOT_AN_EMBEDDER}: {ONLY_TOKENS}")
            if task not in {"embedding", "splade"}:
                raise ModelMismatch(NOT_AN_EMBEDDER)
            if task == "splade" and options.averages_windows:
                raise ModelMismatch("Backend error: windows of SPLADE models have no mean")

        output = SPARSE_EMBEDDING if task == "splade" else self._options.output
        compute = self._computing.windows if options.averages_windows else self._computing.rows
        rows = await compute(inputs, options, (output,), check)
        if dimensions is not None:
            with FaultOf(len(inputs)):
                require_width(dimensions, self._options.dimensions)
        vectors = await dense_vectors(rows.values, normalize=normalize, dimensions=dimensions)
        return rows.answer(rows.joined(vectors, normalize=normalize))

    async def embed_chunks(
        self, asked: Chunked, options: InputOptions, *, normalize: bool, dimensions: int | None
    ) -> Vectors:
        """Return one vector for each chunk of a text, (M, D), of one pass over the text."""
        return await self._options.late_chunking.vectors(
            self._computing, asked, options, normalize=normalize, dimensions=dimensions
        )

    async def embed_all(
        self, inputs: Sequence[EncodingInput], options: InputOptions
    ) -> TokenVectors:
        """Return a vector for each token of each input.

        They are the encoder's output, special tokens included and not normalized; from a
        late-interaction model, the vectors to compare.
        """

        def check() -> None:
            if self.task == "splade":
                raise ModelMismatch("Backend error: `embed_all` is not available for SPLADE models")
            if self.task not in {"embedding", "multi_vector"}:
                raise ModelMismatch(NOT_AN_EMBEDDER)
            if self.admission.has_routes:
                raise ModelMismatch(
                    "Backend error: `embed_all` is not available for static models, and for models "
                    "that embed queries and documents in different ways"
                )
            if not self._options.embed_all:
                raise ModelMismatch(
                    "Backend error: `embed_all` is not available: the service was started with "
                    "--embed-all false"
                )
            if not self._options.has_tokens:
                raise ModelMismatch(
                    "Backend error: `embed_all` is not available for a model whose ONNX graph "
                    "yields no vectors of tokens"
                )

        made = self._options.multi_vector
        output = TOKEN_EMBEDDINGS if made is None else MULTI_VECTOR_EMBEDDING
        rows = await self._computing.rows(inputs, options, (output,), check)
        return rows.answer(token_vectors(rows.inputs, rows.values, made))

    async def embed_sparse(
        self, inputs: Sequence[EncodingInput], options: InputOptions
    ) -> SparseVectors:
        """Return the entries of one sparse vector over the vocabulary for each input."""
        weighted = self._options.lexical

        def check() -> None:
            if self.task != "splade" and weighted is None:
                raise ModelMismatch(f"{NOT_AN_EMBEDDER} with SPLADE pooling")

        output = SPARSE_EMBEDDING if weighted is None else LEXICAL_WEIGHTS
        rows = await self._computing.rows(inputs, options, (output,), check)
        return rows.answer(sparse_vectors(rows.inputs, rows.values, weighted))

    async def embed_kinds(
        self, inputs: Sequence[EncodingInput], options: InputOptions, asked: AskedKinds
    ) -> VectorsOfKinds:
        """Return vectors of several kinds for each input, of one pass of the model."""
        return await self._options.kinds.vectors(self._computing, inputs, options, asked)

    async def predict(
        self, inputs: Sequence[EncodingInput], options: InputOptions, activation: Activation
    ) -> Predictions:
        """Return the scores of every label for each text or pair, (N, L)."""

        def check() -> None:
            if self.task not in {"classifier", "reranker"}:
                raise ModelMismatch("Backend error: Model is not a classifier model")

        rows = await self._computing.rows(inputs, options, (LOGITS,), check)
        logits = np.stack(rows.values)
        return rows.answer(Scores(logits, scores(logits, activation)))

    def require_reranker(self) -> None:
        """Raise ModelMismatch unless the model is a reranker; called before any other check."""
        if self.task != "reranker":
            raise ModelMismatch("Backend error: model is not a re-ranker model")

    async def probe(self) -> None:
        """Compute a short text the whole way, without permits; raises ServiceError."""
        tokenized = await self.admission.encode_anyway(PROBE_TEXT)
        job = await self._computing.run(tokenized, (self._options.output,))
        require_finite(vector for row in job.rows if row is not None for vector in row)
