"""TEI's embedding verbs: `/embed`, `/embed_all`, `/embed_sparse`, `/similarity`.

Follows TEI 1.9.3 router/src/http/types.rs and server.rs.
"""

from collections.abc import Coroutine, Iterable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.api.shapes.fields import ArrayOf, Field, Shape, Struct, boolean, string, unsigned
from app.api.shapes.inputs import embed_input
from app.api.shapes.openapi_types import NUMBER, Named, list_of
from app.api.verbs.input_fields import PROMPT_NAME, TRUNCATE, TRUNCATION_DIRECTION, input_options
from app.api.verbs.kinds.fields import OUTPUT_TYPES, SPARSE_VECTOR, VECTORS
from app.api.verbs.kinds.rendering import Frame, entries, objects
from app.api.verbs.long_texts.asked import OVERFLOW, SPANS
from app.api.verbs.output.asked_vectors import AskedVectors
from app.api.verbs.output.dtype import OUTPUT_DTYPE, TypedVectors, numbers
from app.api.verbs.rendering import groups, joined, nested, numpy_json, render_error
from app.api.verbs.verb import Counted, Request
from app.errors import EmptyInput
from app.inference.admission import InputOptions
from app.inference.computing import Computed
from app.inference.engine import SparseVectors, TokenVectors, Vectors, VectorsOfKinds
from app.inference.kinds.served_kinds import KindVectors
from app.inference.served_model import ServedModel
from app.model.vectors import cosines

EMBED = Shape(
    "EmbedRequest",
    Field("inputs", embed_input),
    TRUNCATE,
    TRUNCATION_DIRECTION,
    PROMPT_NAME,
    Field("normalize", boolean, True, filled=True),
    Field("dimensions", unsigned, None),
    OUTPUT_DTYPE,
    OUTPUT_TYPES,
    OVERFLOW,
    SPANS,
)
EMBED_ALL = Shape(
    "EmbedAllRequest",
    Field("inputs", embed_input),
    TRUNCATE,
    TRUNCATION_DIRECTION,
    PROMPT_NAME,
)
EMBED_SPARSE = Shape("EmbedSparseRequest", *EMBED_ALL.fields.values())
SIMILARITY = Shape(
    "SimilarityRequest",
    Field(
        "inputs",
        Struct(
            Shape(
                "SimilarityInput",
                Field("source_sentence", string),
                Field("sentences", ArrayOf(string)),
            )
        ),
    ),
    Field(
        "parameters",
        Struct(Shape("SimilarityParameters", TRUNCATE, TRUNCATION_DIRECTION, PROMPT_NAME)),
        None,
    ),
)


class Embed:
    """POST `/embed`: one vector for each input or span of it, or an object with several kinds."""

    name = "embed"
    shape = EMBED
    answer = Named("EmbedResponse", {"anyOf": [list_of(list_of(NUMBER)), list_of(VECTORS)]})
    counted_as: Counted = "embed"
    render_error = staticmethod(render_error)

    def build(self, values: dict[str, Any]) -> Request[AskedVectors]:
        inputs, is_batch = values["inputs"]
        asked = AskedVectors.of(values, inputs, is_batch=is_batch)
        return Request(inputs, is_batch, input_options(values), asked)

    def run(
        self, model: ServedModel, request: Request[AskedVectors]
    ) -> Coroutine[Any, Any, TypedVectors | VectorsOfKinds]:
        return request.extra.computed(model, request.inputs, request.options)

    def rows(self, computed: TypedVectors | VectorsOfKinds) -> NDArray[Any] | None:
        """Return the answer as the array that it is, unless it has several kinds of vectors."""
        return None if isinstance(computed.value, KindVectors) else computed.value

    def render(
        self,
        _: ServedModel,
        request: Request[AskedVectors],
        computed: TypedVectors | VectorsOfKinds,
    ) -> Iterable[bytes]:
        if isinstance(computed.value, KindVectors):
            return objects(computed.value, len(request.inputs), Frame())
        return joined(map(numpy_json, map(numbers, groups(computed.value))))


class EmbedAll:
    """POST `/embed_all`: one vector for each token of each input."""

    name = "embed_all"
    shape = EMBED_ALL
    answer = Named("EmbedAllResponse", list_of(list_of(list_of(NUMBER))))
    counted_as: Counted = "embed"
    render_error = staticmethod(render_error)

    def build(self, values: dict[str, Any]) -> Request[None]:
        inputs, is_batch = values["inputs"]
        return Request(inputs, is_batch, input_options(values), None)

    async def run(self, model: ServedModel, request: Request[None]) -> TokenVectors:
        return await model.engine.embed_all(request.inputs, request.options)

    def render(
        self, _: ServedModel, request: Request[None], computed: TokenVectors
    ) -> Iterable[bytes]:
        del request
        return nested(map(numpy_json, groups(rows)) for rows in computed.value)


class EmbedSparse:
    """POST `/embed_sparse`: the entries that are not zero, by ascending index."""

    name = "embed_sparse"
    shape = EMBED_SPARSE
    answer = Named("EmbedSparseResponse", list_of(SPARSE_VECTOR))
    counted_as: Counted = "embed"
    render_error = staticmethod(render_error)

    def build(self, values: dict[str, Any]) -> Request[None]:
        inputs, is_batch = values["inputs"]
        return Request(inputs, is_batch, input_options(values), None)

    async def run(self, model: ServedModel, request: Request[None]) -> SparseVectors:
        return await model.engine.embed_sparse(request.inputs, request.options)

    def render(
        self, _: ServedModel, request: Request[None], computed: SparseVectors
    ) -> Iterable[bytes]:
        del request
        return nested(map(entries, computed.value))


class Similarity:
    """POST `/similarity`: the cosine of one sentence to each of several."""

    name = "similarity"
    shape = SIMILARITY
    answer = Named("SimilarityResponse", list_of(NUMBER))
    counted_as: Counted = "embed"
    render_error = staticmethod(render_error)

    def build(self, values: dict[str, Any]) -> Request[None]:
        inputs, parameters = values["inputs"], values["parameters"]
        options = InputOptions() if parameters is None else input_options(parameters)
        return Request([inputs["source_sentence"], *inputs["sentences"]], True, options, None)

    async def run(
        self, model: ServedModel, request: Request[None]
    ) -> Computed[NDArray[np.float32]]:
        if len(request.inputs) == 1:
            raise EmptyInput("`inputs.sentences` cannot be empty")
        computed = await model.engine.embed(request.inputs, request.options, normalize=False)
        return replace(computed, value=cosines(computed.value))

    def render(self, _: ServedModel, request: Request[None], computed: Vectors) -> Iterable[bytes]:
        del request
        yield numpy_json(computed.value)
