"""OpenAI's dialect as TEI speaks it: POST `/v1/embeddings`.

Follows TEI 1.9.3 router/src/http/types.rs, with additions: the `error` object beside TEI's flat
keys, without which several official clients cannot show the reason; the options of `/embed` as
optional fields.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from typing import Any, Literal

import orjson

from app.api.shapes.fields import Field, Shape, Variant, anything, boolean, string, unsigned
from app.api.shapes.inputs import embed_input
from app.api.shapes.model_name import prompt_of, side_of
from app.api.shapes.openapi_types import COUNT, NUMBER, TEXT, USAGE, Named, list_of, record
from app.api.verbs.input_fields import input_options
from app.api.verbs.kinds.fields import OUTPUT_TYPES, SPARSE_VECTOR
from app.api.verbs.kinds.rendering import Frame, objects
from app.api.verbs.long_texts.asked import LATE_CHUNKING, OVERFLOW
from app.api.verbs.long_texts.included import INCLUDE, INCLUDED, Included, included, indexed
from app.api.verbs.output.asked_vectors import AskedVectors
from app.api.verbs.output.dtype import OUTPUT_DTYPE, TypedVectors, numbers
from app.api.verbs.output.representation import in_base64
from app.api.verbs.rendering import groups, joined, numpy_json
from app.api.verbs.verb import Counted, Request
from app.errors import ModelNotFound, ServiceError
from app.inference.admission import InputOptions
from app.inference.engine import VectorsOfKinds
from app.inference.kinds.served_kinds import KindVectors
from app.inference.served_model import ServedModel

MOST_INPUTS = 2048  # inputs of one request, as in OpenAI's reference; TEI applies its own limit

ENCODING_FORMAT = Variant(
    "`float` or `base64`", {"float": "float", "base64": "base64"}, "EncodingFormat"
)
VECTOR = Named("Embedding", {"oneOf": [list_of(NUMBER), TEXT]})
EMBEDDING = Named(
    "OpenAICompatEmbedding",
    {
        "type": "object",
        "properties": {
            "object": TEXT,
            "embedding": VECTOR,
            "sparse": SPARSE_VECTOR,
            "multi_vector": list_of(VECTOR),
            "index": COUNT,
            **INCLUDED,
        },
        "required": ["object", "index"],
    },
)

EMBEDDINGS = Shape(
    "OpenAICompatRequest",
    Field("input", embed_input),
    Field("model", string, None),
    Field("user", string, None),
    Field("encoding_format", ENCODING_FORMAT, "float", filled=True),
    Field("dimensions", unsigned, None),
    Field("truncate", boolean, None, added=True),
    Field("prompt_name", string, None, added=True),
    Field("input_type", anything, None, added=True),
    Field("normalize", boolean, None, added=True),
    OUTPUT_DTYPE,
    OUTPUT_TYPES,
    INCLUDE,
    OVERFLOW,
    LATE_CHUNKING,
    promised=MOST_INPUTS,
)


@dataclass(frozen=True, slots=True)
class Output:
    """The form in which vectors are returned."""

    encoding: Literal["float", "base64"]
    asked: AskedVectors
    input_type: Any  # anything; used if it is the name of a prompt
    included: frozenset[str]  # keys of each entry beside its vector


class Embeddings:
    """POST `/v1/embeddings` and its alias.

    `model` names one of several; the only one answers whatever it says. `input_type` names a
    prompt, or a side of a model with separate encoders for queries and documents, if there is one
    of that name; else `model` may end in a side.
    """

    name = "openai_embed"
    shape = EMBEDDINGS
    answer = Named(
        "OpenAICompatResponse",
        record(object=TEXT, data=list_of(EMBEDDING), model=TEXT, usage=USAGE),
    )
    counted_as: Counted = "embed"

    def build(self, values: dict[str, Any]) -> Request[Output]:
        inputs, is_batch = values["input"]
        output = Output(
            values["encoding_format"],
            AskedVectors.of(values, inputs, is_batch=is_batch),
            values["input_type"],
            frozenset(values["include"] or ()),
        )
        options = replace(input_options(values), promised=self.shape.promised)
        return Request(inputs, is_batch, options, output, values["model"])

    async def run(
        self, model: ServedModel, request: Request[Output]
    ) -> TypedVectors | VectorsOfKinds:
        options = _on_its_side(model, request)
        return await request.extra.asked.computed(model, request.inputs, options)

    def render(
        self,
        model: ServedModel,
        request: Request[Output],
        computed: TypedVectors | VectorsOfKinds,
    ) -> Iterator[bytes]:
        encoded = in_base64 if request.extra.encoding == "base64" else numbers
        found = included(request.extra.included, computed)
        yield b'{"object":"list","data":'
        if isinstance(computed.value, KindVectors):
            closing = partial(_closing, found)
            frame = Frame("embedding", b'{"object":"embedding",', closing, encoded)
            yield from objects(computed.value, len(request.inputs), frame)
        else:
            places = count()
            yield from joined(
                numpy_json([_record(one, next(places), found) for one in encoded(group)])
                for group in groups(computed.value)
            )
        tokens = sum(computed.token_counts)
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        yield b"," + orjson.dumps({"model": model.name, "usage": usage})[1:]

    def render_error(self, error: ServiceError) -> bytes:
        return render_error(error)


def render_error(error: ServiceError) -> bytes:
    """Return TEI's `{"message": …, "code": …, "type": …}`, and OpenAI's `error` object."""
    flat = {"message": str(error), "code": error.status, "type": error.error_type}
    nested = {"type": error.error_type, "param": None, "code": error.status}
    if isinstance(error, ModelNotFound):  # in OpenAI's own words
        nested = {"type": "invalid_request_error", "param": "model", "code": "model_not_found"}
    return orjson.dumps({**flat, "error": {"message": flat["message"], **nested}})


def _on_its_side(model: ServedModel, request: Request[Output]) -> InputOptions:
    """Return the options of the inputs with the prompt that one of the fields asks for.

    Without a prompt of that side there is none, as in sentence-transformers' `encode_query`.
    """
    options, known = request.options, list(model.prompt_names)
    if options.prompt_name is not None:
        return options
    if request.extra.input_type in known:
        return replace(options, prompt_name=request.extra.input_type)
    side = side_of(request.model, model.names)
    if side is None:
        return options
    prompt = prompt_of(side, known)
    return replace(options, prompt_name=prompt, unprompted=prompt is None)


def _record(embedding: Any, index: int, found: Included) -> dict[str, Any]:
    return {"object": "embedding", "embedding": embedding, **indexed(found, index)}


def _closing(found: Included, index: int) -> bytes:
    return b"," + orjson.dumps(indexed(found, index))[1:]
