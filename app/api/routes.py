"""Routes: every path, its methods, and which of them need the API key.

`docs.operations` describes each of them.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Self

import orjson
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from app.access.api_keys import ApiKeys
from app.api.docs import swagger
from app.api.docs.limits import Limits
from app.api.docs.openapi import describe
from app.api.docs.operations import operations
from app.api.http.endpoints import (
    Answer,
    BatchedPost,
    ConstantJson,
    HealthCheck,
    MetricsText,
    UnbatchedPost,
)
from app.api.http.info import info
from app.api.http.metric_series import REQUESTS_BY_KEY
from app.api.http.paths import without_spare_slashes
from app.api.http.service import Service
from app.api.http.transport import header, respond
from app.api.verbs import openai, tei_tokenize, vertex
from app.api.verbs.cohere import RerankDocuments
from app.api.verbs.counting import failures_counted
from app.api.verbs.tei_embed import Embed, EmbedAll, EmbedSparse, Similarity
from app.api.verbs.tei_score import Predict, Rerank
from app.api.verbs.verb import Verb
from app.model.names import Task
from app.settings import Settings
from app.telemetry.metrics import Metrics, labels


@dataclass(frozen=True, slots=True)
class RouteOptions:
    """Paths and aliases that platforms ask for."""

    root_is_similarity: bool = False  # POST / is /similarity, for embedding models
    predict_path: str | None = None  # one more path for /vertex
    health_path: str | None = None  # one more path for /health

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the options of these settings."""
        return cls(
            root_is_similarity=settings.task == "sentence-similarity",
            predict_path=settings.aip_predict_route,
            health_path=settings.aip_health_route,
        )


@dataclass(frozen=True)
class Resource:
    """One path: its methods, and those among them that need the API key."""

    public: Mapping[str, ASGIApp] = field(default_factory=dict)
    protected: Mapping[str, ASGIApp] = field(default_factory=dict)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        endpoint = self.endpoint(scope["method"])
        if endpoint is None:
            methods = [*self.protected, *self.public]
            allow = ",".join("GET,HEAD" if method == "GET" else method for method in methods)
            await respond(send, 405, b"", None, [(b"allow", allow.encode())])
        else:
            await endpoint(scope, receive, send)

    def with_methods_of(self, other: "Resource") -> "Resource":
        """Return the same path with the methods of another, which take precedence."""
        taken = {*other.public, *other.protected}

        def kept(methods: Mapping[str, ASGIApp]) -> dict[str, ASGIApp]:
            return {name: methods[name] for name in methods if name not in taken}

        return Resource(
            kept(self.public) | dict(other.public), kept(self.protected) | dict(other.protected)
        )

    def endpoint(self, method: str) -> ASGIApp | None:
        """Return the handler of a method; HEAD is a GET whose body the server leaves out."""
        name = "GET" if method == "HEAD" else method
        return self.protected.get(name) or self.public.get(name)

    def needs_key(self, method: str) -> bool:
        """Check whether a method is protected; every method is on a path without public ones."""
        return method in self.protected or not self.public


class Guarded:
    """Admits requests that carry `Authorization: Bearer <key>`, compared byte for byte.

    Inner applications find the key's name in the scope as `api_key_name`, if it has one. OPTIONS
    needs no key: a path's methods are no secret, and browsers ask without a key.
    """

    def __init__(self, resource: Resource, keys: ApiKeys, metrics: Metrics) -> None:
        self._resource = resource
        self._keys = keys
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] != "OPTIONS" and self._resource.needs_key(scope["method"]):
            key = self._keys.find(header(scope, b"authorization") or b"")
            if key is None:
                await respond(send, 401, b"", None, [])
                return
            if key.name is not None:
                scope["api_key_name"] = key.name
                self._metrics.count(REQUESTS_BY_KEY, labels(api_key=key.name))
        await self._resource(scope, receive, send)


def routes(service: Service, options: RouteOptions) -> list[Route]:
    """Return every path of the service."""
    keys, resources = service.keys, _resources(service, options)
    if keys is None:
        return [Route(path, resource) for path, resource in resources.items()]
    return [
        Route(path, Guarded(resource, keys, service.metrics))
        for path, resource in resources.items()
    ]


async def not_found(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer 404 with an empty body, whatever the path."""
    del scope, receive
    await respond(send, 404, b"", None, [])


def _resources(service: Service, options: RouteOptions) -> dict[str, Resource]:
    verbs = _verbs()
    model = service.model
    task = model.manifest.task
    single = _single(task, verbs)
    root = verbs["/rerank"] if task == "reranker" else single
    if options.root_is_similarity and task in {"embedding", "splade"}:
        root = verbs["/similarity"]
    # An instance is read as the first verb that it fits.
    instances = partial(vertex.answer, (verbs["/rerank"], single), service.metrics)
    envelope = _ask(service, "vertex_compatibility", instances)
    health = _probe(service, model.health.check)
    description = describe(operations(verbs), Limits.of(model), has_key=service.keys is not None)
    resources = {path: _post(service, verb) for path, verb in verbs.items()} | {
        "/": Resource(public=health.public, protected=_post(service, root).protected),
        "/api-doc/openapi.json": Resource(public={"GET": ConstantJson(orjson.dumps(description))}),
        "/decode": _ask(
            service, "decode", partial(failures_counted, service.metrics, tei_tokenize.decode)
        ),
        "/health": health,
        "/info": _fixed(orjson.dumps(info(model))),
        "/invocations": _post(service, root),
        "/livez": _probe(service, model.health.check_alive, while_draining=True),
        "/metrics": Resource(public={"GET": MetricsText(service)}),
        "/ping": health,
        "/readyz": _probe(service, model.health.check_recent),
        "/rerank": _choosing(
            service, lambda body: verbs["/v1/rerank" if _has_documents(body) else "/rerank"]
        ),
        "/tokenize": _ask(
            service, "tokenize", partial(failures_counted, service.metrics, tei_tokenize.tokenize)
        ),
        "/v1/models": _fixed(openai.models(model)),
        "/vertex": envelope,
    }
    resources |= {path: Resource(public={"GET": page}) for path, page in swagger.pages().items()}
    for path, more in ((options.predict_path, envelope), (options.health_path, health)):
        if path is not None:
            path = without_spare_slashes(path)
            resources[path] = resources.get(path, Resource()).with_methods_of(more)
    return resources


def _single(task: Task, verbs: Mapping[str, Verb]) -> Verb:
    """Return the verb of this kind of model for inputs that are independent of each other."""
    by_task: Mapping[Task, str] = {
        "embedding": "/embed",
        "splade": "/embed_sparse",
        "multi_vector": "/embed_all",
    }
    return verbs[by_task.get(task, "/predict")]


def _verbs() -> dict[str, Verb]:
    """Return the verb behind each path that has one of its own."""
    embeddings = openai.Embeddings()
    documents = RerankDocuments()
    return {
        "/embed": Embed(),
        "/embed_all": EmbedAll(),
        "/embed_sparse": EmbedSparse(),
        "/embeddings": embeddings,
        "/predict": Predict(),
        "/rerank": Rerank(),
        "/similarity": Similarity(),
        "/v1/embeddings": embeddings,
        "/v1/rerank": documents,
        "/v2/rerank": documents,
    }


def _probe(
    service: Service, check: Callable[[], Awaitable[None]], *, while_draining: bool = False
) -> Resource:
    return Resource(public={"GET": HealthCheck(service, check, while_draining=while_draining)})


def _fixed(content: bytes) -> Resource:
    return Resource(protected={"GET": ConstantJson(content)})


def _ask(service: Service, name: str, answer: Answer) -> Resource:
    return Resource(protected={"POST": UnbatchedPost(service, name, answer)})


def _post(service: Service, verb: Verb) -> Resource:
    return _choosing(service, lambda _: verb)


def _choosing(service: Service, choose: Callable[[bytes], Verb]) -> Resource:
    return Resource(protected={"POST": BatchedPost(service, choose)})


def _has_documents(content: bytes) -> bool:
    """Check whether a body to rank is in Cohere's dialect; TEI's has `texts`."""
    return b'"documents"' in content and b'"texts"' not in content
