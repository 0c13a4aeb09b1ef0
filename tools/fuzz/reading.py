"""Invariants of the reading of any body, whatever its bytes."""

import json
from collections.abc import Callable, Sequence
from typing import Any

from app.api.body import reader, streaming
from app.api.shapes.fields import Shape
from app.api.verbs.cohere.embed import CohereEmbed
from app.api.verbs.cohere.rerank import RerankDocuments
from app.api.verbs.openai import Embeddings
from app.api.verbs.tei_embed import Embed, EmbedAll, EmbedSparse, Similarity
from app.api.verbs.tei_score import Predict, Rerank
from app.api.verbs.tei_tokenize import DECODE, TOKENIZE
from app.api.verbs.verb import Verb
from app.api.verbs.vertex import VERTEX
from app.errors import InvalidInput, MalformedBody, MistypedBody, UnreadableRequest

VERBS: Sequence[Verb] = (
    Embed(),
    EmbedAll(),
    EmbedSparse(),
    Similarity(),
    Embeddings(),
    Predict(),
    Rerank(),
    RerankDocuments(),
    CohereEmbed(),
)
SHAPES: Sequence[Shape] = (*(verb.shape for verb in VERBS), TOKENIZE, DECODE, VERTEX)


def check(content: bytes) -> None:
    """Fail unless every route's reader takes or refuses a body as the contract says."""
    for shape in SHAPES:
        check_shape(content, shape)
    for verb in VERBS:
        check_verb(content, verb)


def check_shape(content: bytes, shape: Shape) -> None:
    """Fail unless the fast and the exact reading give equal values and types, or equal errors."""
    fast, exact = _outcome(reader.read, content, shape), _outcome(_exact, content, shape)
    assert typed(fast) == typed(exact), f"{shape.name}: {fast!r}, but exactly {exact!r}"
    if type(fast) is dict:
        assert fast.keys() == shape.fields.keys()


def check_verb(content: bytes, verb: Verb) -> None:
    """Fail unless the typed fields make a request, or an error that can be sent."""
    values = _outcome(reader.read, content, verb.shape)
    if isinstance(values, UnreadableRequest):
        return
    request = verb.build(values)
    said = InvalidInput(f"{request.inputs[:3]} {request.extra} {request.options}")
    assert json.loads(verb.render_error(said))


def typed(value: Any) -> Any:
    """Return a value in which `1`, `1.0` and `True`, or `0.0` and `-0.0`, differ."""
    if isinstance(value, Exception):
        return type(value), str(value)
    if isinstance(value, dict):
        return {name: typed(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return type(value), [typed(inner) for inner in value]
    return type(value), repr(value)


def _outcome(read: Callable[[bytes, Shape], dict[str, Any]], content: bytes, shape: Shape) -> Any:
    """Return what was read, or the refusal, after encoding its text."""
    try:
        return read(content, shape)
    except (MalformedBody, MistypedBody) as refusal:
        str(refusal).encode()  # as an answer is encoded
        return refusal


def _exact(content: bytes, shape: Shape) -> dict[str, Any]:
    """Read exactly, as deep in the stack as the fallback of the fast reading."""
    return streaming.read(content, shape)
