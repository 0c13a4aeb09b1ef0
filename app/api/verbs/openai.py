"""OpenAI's dialect as TEI speaks it: POST `/v1/embeddings`, GET `/v1/models`.

Follows TEI 1.9.3 router/src/http/types.rs, with additions: the `error` object beside TEI's flat
keys, without which several official clients cannot show the reason; the options of `/embed` as
optional fields; the list of models.
"""

from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import count
from typing import Any, Literal

import numpy as np
import orjson
from numpy.typing import NDArray

from app.api.shapes.fields import Field, Shape, Variant, anything, boolean, string, unsigned
from app.api.shapes.inputs import embed_input
from app.api.shapes.model_name import prompt_of, side_of
from app.api.shapes.openapi_types import COUNT, NUMBER, TEXT, USAGE, Named, list_of, record
from app.api.verbs.input_fields import input_options
from app.api.verbs.rendering import groups, joined, numpy_json
from app.api.verbs.verb import Counted, Request
from app.errors import ServiceError
from app.inference.admission import InputOptions
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

    The only model answers, whatever `model` says. `input_type` names a prompt, or a side of a model
    with separate encoders for queries and documents, if there is one of that name; else `model` may
    end in a side.
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
        return await model.engine.embed(
            request.inputs,
            _on_its_side(model, request),
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
        """Return TEI's `{"message": …, "code": …, "type": …}`, and OpenAI's `error` object."""
        flat = {"message": str(error), "code": error.status, "type": error.error_type}
        nested = {"message": flat["message"], "type": flat["type"], "param": None}
        return orjson.dumps({**flat, "error": {**nested, "code": error.status}})


def models(model: ServedModel) -> bytes:
    """Return the answer of GET `/v1/models`; `created` is the export's time, in Unix seconds."""
    created = int(datetime.fromisoformat(model.manifest.created).timestamp())
    listed = {"id": model.name, "object": "model", "created": created, "owned_by": "local"}
    return orjson.dumps({"object": "list", "data": [listed]})


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


def _record(embedding: Any, index: int) -> dict[str, Any]:
    return {"object": "embedding", "embedding": embedding, "index": index}


def _identity(vector: NDArray[np.float32]) -> Any:
    return vector


def _base64(vector: NDArray[np.float32]) -> str:
    """Encode the raw bytes of little-endian float32, as OpenAI's clients decode them."""
    return b64encode(vector.astype("<f4", copy=False).tobytes()).decode()
