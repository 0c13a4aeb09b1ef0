"""TEI's own dialect: POST `/embed`. Follows TEI 1.9.3 router/src/http/types.rs and server.rs."""

import orjson

from app.api import body
from app.api.dialect import EmbedRequest
from app.api.fields import Field, Shape, boolean, embed_input, optional, string, unsigned, variant
from app.errors import ServiceError
from app.inference.engine import Embeddings, EmbedOptions

DIRECTION = variant(
    "`Left` or `Right`", {"Left": "left", "left": "left", "Right": "right", "right": "right"}
)

EMBED = Shape(
    "EmbedRequest",
    Field("inputs", embed_input),
    Field("truncate", optional(boolean), None),
    Field("truncation_direction", DIRECTION, "right"),
    Field("prompt_name", optional(string), None),
    Field("normalize", boolean, True),
    Field("dimensions", optional(unsigned), None),
)


class EmbedDialect:
    """POST `/embed` and its aliases."""

    def parse(self, content: bytes) -> EmbedRequest:
        """`{"inputs": …, …}`."""
        values = body.read(content, EMBED)
        inputs, is_batch = values["inputs"]
        options = EmbedOptions(
            normalize=values["normalize"],
            dimensions=values["dimensions"],
            truncate=values["truncate"],
            direction=values["truncation_direction"],
            prompt_name=values["prompt_name"],
        )
        return EmbedRequest(inputs, is_batch, options)

    def render(self, request: EmbedRequest, embeddings: Embeddings) -> bytes:
        """`[[f, …], …]`, each number the shortest decimal that gives the float32 back."""
        del request  # the answer looks the same whatever was asked
        return orjson.dumps(embeddings.vectors, option=orjson.OPT_SERIALIZE_NUMPY)

    def render_error(self, error: ServiceError) -> bytes:
        """`{"error": …, "error_type": …}`."""
        return orjson.dumps({"error": str(error), "error_type": error.error_type})
