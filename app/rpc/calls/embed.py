"""Embed: the calls for vectors."""

from typing import Any

import numpy as np

from app.api.verbs import tei_embed
from app.api.verbs.output.dtype import TypedVectors
from app.api.verbs.verb import Request
from app.inference.engine import SparseVectors, TokenVectors
from app.inference.served_model import ServedModel
from app.rpc.calls.call import Computation
from app.rpc.messages import before, named, packed

_SPARSE_RESPONSE, _SPARSE_VALUE = named("EmbedSparseResponse"), named("SparseValue")


def _vector(_: ServedModel, __: Request[Any], computed: TypedVectors) -> bytes:
    return packed(1, computed.value[0])


def _entries(_: ServedModel, __: Request[Any], computed: SparseVectors) -> bytes:
    [vector] = computed.value
    found = zip(vector.indices.tolist(), vector.values.tolist(), strict=True)
    entries = [_SPARSE_VALUE(index=index, value=value) for index, value in found]
    content: bytes = _SPARSE_RESPONSE(sparse_embeddings=entries).SerializeToString()
    return content


def _vectors_of_tokens(_: ServedModel, __: Request[Any], computed: TokenVectors) -> bytes:
    """Return a `TokenEmbedding` for each row of a text, (S, H); each begins with the same bytes."""
    [rows] = computed.value
    inner = before(1, rows.shape[1] * 4)
    start = before(1, len(inner) + rows.shape[1] * 4) + inner
    content = np.empty((len(rows), len(start) + rows.shape[1] * 4), np.uint8)
    content[:, : len(start)] = np.frombuffer(start, np.uint8)
    content[:, len(start) :] = np.ascontiguousarray(rows, "<f4").view(np.uint8)
    return content.tobytes()


EMBED = Computation(tei_embed.Embed(), named("EmbedRequest"), named("EmbedResponse"), _vector)
EMBED_SPARSE = Computation(
    tei_embed.EmbedSparse(), named("EmbedSparseRequest"), _SPARSE_RESPONSE, _entries
)
EMBED_ALL = Computation(
    tei_embed.EmbedAll(), named("EmbedAllRequest"), named("EmbedAllResponse"), _vectors_of_tokens
)
