"""OpenAI's dialect as TEI speaks it: POST `/v1/embeddings`.

Follows TEI 1.9.3 router/src/http/types.rs, with additions: the `error` object beside TEI's flat
keys, without which several official clients cannot show the reason; the options of `/embed` as
optional fields.
"""

from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import count
from typing import Any, Literal

import numpy as np
import orjson
from numpy.typing import NDArray

from app.api.shapes.fields import Field, Shape, Variant, anything, boolean, string, unsigned
from app.api.shapes.inputs import embed_input
from app.api.shapes.openapi_types import COUNT, NUMBER, TEXT, USAGE, Named, list_of, record
from app.api.verbs.input_fields import input_options
from app.api.verbs.rendering import groups, joined, numpy_json
from app.api.verbs.verb import Counted, Request
from app.errors import ModelNotFound, ServiceError
from app.inference.engine import Vectors
from app.inference.served_model import ServedModel

MOST_INPUTS = 2048  # inputs of one request, as in OpenAI's reference; TEI applies its own limit

ENCODING_FORMAT = Variant(
    "`float` or `base64`", {"float": "float", "base64": "base64"}, "EncodingFormat"
)
EMBEDDING = Named(
    "OpenAICompatEmbedding",
    record(
        object=TEXT,
        embedding=Named("Embedding", {"oneOf": [list_of(NUMBER), TEXT]}),
        index=COUNT,
    ),
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
    promised=MOST_INPUTS,
)


@dataclass(frozen=True, slots=True)
class Output:
    """How the vectors are to be returned."""

    encoding: Literal["float", "base64"]
    dimensions: int | None
    normalize: bool
    input_type: Any  # anything; used if it is the name of a prompt


class Embeddings:
    """POST `/v1/embeddings` and its alias.

    `model` names one of several; the only one answers whatever it says. `input_type` names a
    prompt, or a side of a model with separate encoders for queries and documents, if there is one
    of that name.
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
            values["dimensions"],
            values["normalize"] is not False,
            values["input_type"],
        )
        options = replace(input_options(values), promised=self.shape.promised)
        return Request(inputs, is_batch, options, output, values["model"])

    async def run(self, model: ServedModel, request: Request[Output]) -> Vectors:
        options, input_type = request.options, request.extra.input_type
        if options.prompt_name is None and input_type in list(model.prompt_names):
            options = replace(options, prompt_name=input_type)
        return await model.engine.embed(
            request.inputs,
            options,
            normalize=request.extra.normalize,
            dimensions=request.extra.dimensions,
        )

    def render(
        self, model: ServedModel, request: Request[Output], computed: Vectors
    ) -> Iterator[bytes]:
        encode = _base64 if request.extra.encoding == "base64" else _identity
        places = count()
        yield b'{"object":"list","data":'
        yield from joined(
            numpy_json([_record(encode(vector), next(places)) for vector in group])
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


def _record(embedding: Any, index: int) -> dict[str, Any]:
    return {"object": "embedding", "embedding": embedding, "index": index}


def _identity(vector: NDArray[np.float32]) -> Any:
    return vector


def _base64(vector: NDArray[np.float32]) -> str:
    """Encode the raw bytes of little-endian float32, as OpenAI's clients decode them."""
    return b64encode(vector.astype("<f4", copy=False).tobytes()).decode()
