"""Dialect: how one HTTP API words an embedding request, its answer and its errors."""

from dataclasses import dataclass
from typing import Literal, Protocol

from app.errors import ServiceError
from app.inference.engine import Embeddings, EmbedOptions
from app.inference.tokenization import EncodingInput


@dataclass(frozen=True, slots=True)
class EmbedRequest:
    """A parsed request, the same for every dialect."""

    inputs: list[EncodingInput]
    is_batch: bool
    options: EmbedOptions
    encoding: Literal["float", "base64"] = "float"


class Dialect(Protocol):
    """Bytes in, bytes out; knows neither the engine nor the transport."""

    def parse(self, content: bytes) -> EmbedRequest:
        """Read a request body; raises MalformedBody or MistypedBody."""

    def render(self, request: EmbedRequest, embeddings: Embeddings) -> bytes:
        """The JSON answer to a request."""

    def render_error(self, error: ServiceError) -> bytes:
        """The JSON answer that says what went wrong."""
