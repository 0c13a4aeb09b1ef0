"""Refusals of bodies that TEI could not read, with our reader as strict as TEI's."""

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
    """Return whether a body was read, or refused for its content."""
    is_posted = exchange.method == "POST" and exchange.target in SHAPES
    return is_posted and exchange.status != 415


def is_refused(exchange: Exchange) -> bool:
    """Return whether TEI could not read the body."""
    return is_body(exchange) and exchange.content_type == "text/plain; charset=utf-8"


class _NullRefused(streaming.Reader):
    """A reader that refuses `null` for required values, as TEI does."""

    def _field(self, field: Field) -> Any:
        if field.default is None and not isinstance(field.read, Variant):
            return super()._field(field)
        return self.value(field.read)


def said_with_null_refused(exchange: Exchange) -> str | None:
    """Return the refusal of a body whose `null` values are those that TEI allows, or None."""
    try:
        _NullRefused(exchange.content).struct(SHAPES[exchange.target])
    except Fault as fault:
        return str(refusal(fault, exchange.content))
    return None
