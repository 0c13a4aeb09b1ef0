"""TEI's embedding verbs: `/embed`, `/embed_all`, `/embed_sparse`, `/similarity`.

Follows TEI 1.9.3 router/src/http/types.rs and server.rs.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.api.shapes.fields import ArrayOf, Field, Shape, Struct, boolean, string, unsigned
from app.api.shapes.inputs import embed_input
from app.api.shapes.openapi_types import COUNT, NUMBER, Named, list_of, record
from app.api.verbs.input_fields import PROMPT_NAME, TRUNCATE, TRUNCATION_DIRECTION, input_options
from app.api.verbs.output.dtype import OUTPUT_DTYPE, TypedVectors, in_dtype, numbers, require_dtypes
from app.api.verbs.rendering import groups, joined, nested, numpy_json, render_error
from app.api.verbs.verb import Counted, Request
from app.errors import EmptyInput
from app.inference.admission import InputOptions
from app.inference.computing import Computed
from app.inference.engine import SparseVectors, TokenVectors, Vectors
from app.inference.served_model import ServedModel
from app.model.vectors import SparseVector, cosines

EMBED = Shape(
    "EmbedRequest",
    Field("inputs", embed_input),
    TRUNCATE,
    TRUNCATION_DIRECTION,
    PROMPT_NAME,
    Field("normalize", boolean, True, filled=True),
    Field("dimensions", unsigned, None),
    OUTPUT_DTYPE,
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
ENTRIES_AT_ONCE = 1_000  # Python objects in memory at a time

SPARSE_VALUE = Named("SparseValue", record(index=COUNT, value=NUMBER))


class Embed:
    """POST `/embed`: one vector for each input."""

    name = "embed"
    shape = EMBED
    answer = Named("EmbedResponse", list_of(list_of(NUMBER)))
    counted_as: Counted = "embed"
    render_error = staticmethod(render_error)

    def build(self, values: dict[str, Any]) -> Request[dict[str, Any]]:
        inputs, is_batch = values["inputs"]
        extra = {name: values[name] for name in ("normalize", "dimensions", "output_dtype")}
        return Request(inputs, is_batch, input_options(values), extra)

    async def run(self, model: ServedModel, request: Request[dict[str, Any]]) -> TypedVectors:
        asked = dict(request.extra)
        dtype = asked.pop("output_dtype")
        require_dtypes(model, [dtype], normalize=asked["normalize"])
        computed = await model.engine.embed(request.inputs, request.options, **asked)
        return await in_dtype(model, computed, dtype)

    def rows(self, computed: TypedVectors) -> NDArray[Any]:
        """Return the answer as the array that it is."""
        return computed.value

    def render(
        self, _: ServedModel, request: Request[dict[str, Any]], computed: TypedVectors
    ) -> Iterable[bytes]:
        del request
        return joined(numpy_json(numbers(group)) for group in groups(computed.value))


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
    answer = Named("EmbedSparseResponse", list_of(list_of(SPARSE_VALUE)))
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
        return nested(map(_entries, computed.value))


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
        return Computed(cosines(computed.value), computed.token_counts, computed.timings)

    def render(self, _: ServedModel, request: Request[None], computed: Vectors) -> Iterable[bytes]:
        del request
        yield numpy_json(computed.value)


def _entries(vector: SparseVector) -> Iterator[bytes]:
    """Yield arrays of a vector's entries, ENTRIES_AT_ONCE in each."""
    for start in range(0, len(vector.indices), ENTRIES_AT_ONCE):
        some = slice(start, start + ENTRIES_AT_ONCE)
        entries = zip(vector.indices[some].tolist(), vector.values[some], strict=True)
        yield numpy_json([{"index": index, "value": value} for index, value in entries])
