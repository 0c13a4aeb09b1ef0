"""Routes: every path that takes a body, its format, and the bound on its cost."""

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app.api.http.endpoints import BatchedPost, UnbatchedPost
from app.api.http.forms.form import JsonForm
from app.api.model_list import CountedAs
from app.api.resources import Resource
from app.api.routes import RouteOptions, routes
from app.api.shapes.fields import Shape
from app.api.verbs.open_inference.fields import INFER
from app.api.verbs.tei_tokenize import DECODE, TOKENIZE
from app.api.verbs.vertex import VERTEX
from app.application import build
from app.model.lookup import repository
from app.model.names import Task
from app.options.settings import Settings
from tools.prices.bodies import Dialect

# The shapes of routes without a verb, or with one that depends on the request.
INFER_PATH = "/v2/models/{name:path}/infer"
SHAPES: Mapping[str, Shape] = {
    "/decode": DECODE,
    "/tokenize": TOKENIZE,
    "/vertex": VERTEX,
    INFER_PATH: INFER,
}


@dataclass(frozen=True, slots=True)
class Row:
    """A route, the kind of model that it is measured on, and the bound on its cost."""

    path: str
    task: Task
    bound: str


# In the words of docs/reliability.md, which says what they mean.
_COMPUTED = "permits, 32 inputs"
_TOKENS = "the first slice's permits, bytes: 80"
_VERTEX = "permits, three quarters of the bytes"
ROWS: Sequence[Row] = (
    Row("/embed", "embedding", _COMPUTED),
    Row("/embed_all", "embedding", f"{_COMPUTED}, bytes"),
    Row("/embed_sparse", "splade", f"{_COMPUTED}, the vocabulary"),
    Row("/similarity", "embedding", _COMPUTED),
    Row("/v1/embeddings", "embedding", "a quarter of the permits, 2,048 inputs"),
    Row("/v2/embed", "embedding", "permits, 96 texts"),
    Row(INFER_PATH, "embedding", _COMPUTED),
    Row("/predict", "classifier", _COMPUTED),
    Row("/rerank", "reranker", _COMPUTED),
    Row("/v1/rerank", "reranker", _COMPUTED),
    Row("/tokenize", "embedding", f"{_TOKENS} a character of the longest text"),
    Row("/decode", "embedding", f"{_TOKENS} an id of the longest list"),
    Row("/vertex", "embedding", _VERTEX),
    Row("/vertex", "reranker", _VERTEX),
)
# Aliases.
ALIASES: Mapping[str, str] = {
    "/": "/embed",
    "/invocations": "/embed",
    "/embeddings": "/v1/embeddings",
    "/v2/rerank": "/v1/rerank",
    "/openai/v1/embeddings": "/v1/embeddings",
    "/openai/v1/rerank": "/v1/rerank",
}


def posts(model_id: str) -> dict[str, Any]:
    """Return every path that takes a body, and its handler, of the service over a model.

    Those below `/tei/` and the model's name repeat them. Files and batches are off by default.
    """
    settings = Settings(model_id=model_id)
    folder = repository.find(model_id, settings.revision, settings.models_dir)
    assert folder is not None, f"{model_id} is not exported"
    service = build(settings, folder)
    found: dict[str, Any] = {}
    for one in routes(service, RouteOptions()):
        resource = one.endpoint.app if isinstance(one.endpoint, CountedAs) else one.endpoint
        if one.path.startswith("/tei/") or not isinstance(resource, Resource):
            continue
        if re.fullmatch(r"(/openai)?/v1/(files|batches).*", one.path):
            continue
        if (endpoint := resource.endpoint("POST")) is not None:
            found[one.path] = endpoint
    asyncio.run(service.model.close())
    return found


def dialect(path: str, endpoints: Mapping[str, Any]) -> Dialect:
    """Return the format of a path's requests."""
    shape = _shape(path, endpoints)
    return Dialect(shape, _shape("/", endpoints) if path == "/vertex" else None)


def _shape(path: str, endpoints: Mapping[str, Any]) -> Shape:
    endpoint = endpoints[path]
    if isinstance(endpoint, BatchedPost) and isinstance(endpoint.form, JsonForm):
        return endpoint.form.choose(b"{}").shape
    assert isinstance(endpoint, UnbatchedPost | BatchedPost)
    return SHAPES[path]
