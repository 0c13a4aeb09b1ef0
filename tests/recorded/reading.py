"""What is said of a body that TEI could not read, if it were read as strictly as TEI does."""

from typing import Any

from app.api.body import streaming
from app.api.shapes.faults import Fault, refusal
from app.api.shapes.fields import Field, Shape, Variant
from app.api.verbs.tei_tokenize import DECODE, TOKENIZE
from app.api.verbs.vertex import VERTEX
from tests.recorded import Exchange
from tools.fuzz.reading import VERBS

_VERB_SHAPES = {f"/{verb.name}": verb.shape for verb in VERBS}
_EMBEDDINGS = _VERB_SHAPES["/openai_embed"]
SHAPES: dict[str, Shape] = _VERB_SHAPES | {
    "/v1/embeddings": _EMBEDDINGS,
    "/embeddings": _EMBEDDINGS,
    "/tokenize": TOKENIZE,
    "/decode": DECODE,
    "/vertex": VERTEX,
}


def is_body(exchange: Exchange) -> bool:
    """Whether a body was read, or refused for what stands in it."""
    is_posted = exchange.method == "POST" and exchange.target in SHAPES
    return is_posted and exchange.status != 415


def is_refused(exchange: Exchange) -> bool:
    """Whether TEI could not read the body."""
    return is_body(exchange) and exchange.content_type == "text/plain; charset=utf-8"


class _NullRefused(streaming.Reader):
    """Reads as TEI does where `null` stands for a value that is no option."""

    def _field(self, field: Field) -> Any:
        if field.default is None and not isinstance(field.read, Variant):
            return super()._field(field)
        return self.value(field.read)


def said_with_null_refused(exchange: Exchange) -> str | None:
    """What would be said of a body if no field took `null` that does not take it in TEI."""
    try:
        _NullRefused(exchange.content).struct(SHAPES[exchange.target])
    except Fault as fault:
        return str(refusal(fault, exchange.content))
    return None
