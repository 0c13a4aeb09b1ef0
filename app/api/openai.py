"""OpenAI's dialect as TEI speaks it: POST `/v1/embeddings`.

Follows TEI 1.9.3 router/src/http/types.rs. The `error` object beside TEI's flat keys is an
addition, without which several official clients cannot show the reason.
"""

from base64 import b64encode
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from app.api import body
from app.api.dialect import EmbedRequest
from app.api.fields import Field, Shape, embed_input, optional, string, unsigned, variant
from app.errors import ServiceError
from app.inference.engine import Embeddings, EmbedOptions

ENCODING_FORMAT = variant("`float` or `base64`", {"float": "float", "base64": "base64"})

EMBEDDINGS = Shape(
    "OpenAICompatRequest",
    Field("input", embed_input),
    Field("model", optional(string), None),
    Field("user", optional(string), None),
    Field("encoding_format", ENCODING_FORMAT, "float"),
    Field("dimensions", optional(unsigned), None),
)


class OpenAIDialect:
    """POST `/v1/embeddings` and its alias; `model_name` is what answers call the model."""

    def __init__(self, model_name: str) -> None:
        self._model_name = model_name

    def parse(self, content: bytes) -> EmbedRequest:
        """`{"input": …, …}`; whatever `model` is asked for, there is only one."""
        values = body.read(content, EMBEDDINGS)
        inputs, is_batch = values["input"]
        options = EmbedOptions(dimensions=values["dimensions"])
        return EmbedRequest(inputs, is_batch, options, encoding=values["encoding_format"])

    def render(self, request: EmbedRequest, embeddings: Embeddings) -> bytes:
        """`{"object": "list", "data": […], "model": …, "usage": {…}}`."""
        encode = _base64 if request.encoding == "base64" else _identity
        tokens = sum(embeddings.token_counts)
        answer = {
            "object": "list",
            "data": [
                {"object": "embedding", "embedding": encode(vector), "index": index}
                for index, vector in enumerate(embeddings.vectors)
            ],
            "model": self._model_name,
            "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        }
        return orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)

    def render_error(self, error: ServiceError) -> bytes:
        """TEI's `{"message": …, "code": …, "type": …}`, and OpenAI's `error` object."""
        flat = {"message": str(error), "code": error.status, "type": error.error_type}
        nested = {"message": flat["message"], "type": flat["type"], "param": None}
        return orjson.dumps({**flat, "error": {**nested, "code": error.status}})


def _identity(vector: NDArray[np.float32]) -> Any:
    return vector


def _base64(vector: NDArray[np.float32]) -> str:
    """The raw bytes of little-endian float32, as OpenAI's clients decode them."""
    return b64encode(vector.astype("<f4", copy=False).tobytes()).decode()
