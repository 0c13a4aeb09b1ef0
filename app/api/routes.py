"""The route table: every path, its methods, and which of them need the API key."""

import hmac
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import orjson
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api import openai, tokens, vertex
from app.api.cohere import RerankDocuments
from app.api.embedding import Embed, EmbedAll, EmbedSparse, Similarity
from app.api.endpoints import Ask, Fixed, Health, Infer, MetricsText, Service
from app.api.scoring import Predict, Rerank
from app.api.transport import header, respond
from app.api.verb import Verb


@dataclass(frozen=True, slots=True)
class RouteOptions:
    """Paths and aliases that platforms ask for."""

    root_is_similarity: bool = False  # POST / is /similarity, for embedding models
    predict_path: str | None = None  # one more path for /vertex
    health_path: str | None = None  # one more path for /health


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

    def endpoint(self, method: str) -> ASGIApp | None:
        """What answers a method; HEAD is a GET whose body the server leaves out."""
        name = "GET" if method == "HEAD" else method
        return self.protected.get(name) or self.public.get(name)

    def needs_key(self, method: str) -> bool:
        """Protected methods do, and on a path with no public method so does every other."""
        return method in self.protected or not self.public


class Guarded:
    """Lets a request through that carries `Authorization: Bearer <key>`, byte for byte."""

    def __init__(self, resource: Resource, key: str) -> None:
        self._resource = resource
        self._expected = f"Bearer {key}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        given = header(scope, b"authorization") or b""
        if self._resource.needs_key(scope["method"]) and not hmac.compare_digest(
            given, self._expected
        ):
            await respond(send, 401, b"", None, [])
        else:
            await self._resource(scope, receive, send)


def routes(service: Service, options: RouteOptions) -> list[Route]:
    """Every path of the service."""
    key = service.api_key
    return [
        Route(path, Guarded(resource, key) if key is not None else resource)
        for path, resource in _resources(service, options).items()
    ]


async def not_found(scope: Scope, receive: Receive, send: Send) -> None:
    """404 with an empty body, whatever the path."""
    del scope, receive
    await respond(send, 404, b"", None, [])


def _resources(service: Service, options: RouteOptions) -> dict[str, Resource]:
    embed, sparse, similarity = Embed(), EmbedSparse(), Similarity()
    predict, rerank = Predict(service.labels), Rerank()
    documents = RerankDocuments(service.model_name)
    task = service.engine.task
    post = partial(_post, service)
    at_root: Mapping[str, Verb] = {
        "embedding": similarity if options.root_is_similarity else embed,
        "splade": sparse,
        "classifier": predict,
        "reranker": rerank,
    }
    root = post(at_root[task])
    # Each instance of /vertex is read as the first of these that it fits.
    in_vertex: Mapping[str, Sequence[Verb]] = {
        "embedding": (rerank, embed),
        "splade": (rerank, sparse),
        "classifier": (rerank, predict),
        "reranker": (rerank, predict),
    }
    envelope = Resource(protected={"POST": Ask(service, partial(vertex.answer, in_vertex[task]))})
    health = Resource(public={"GET": Health(service)})
    models = openai.models(service.model_name, service.created)
    resources = {
        "/": Resource(public=health.public, protected=root.protected),
        "/decode": Resource(protected={"POST": Ask(service, tokens.decode)}),
        "/embed": post(embed),
        "/embed_all": post(EmbedAll()),
        "/embed_sparse": post(sparse),
        "/embeddings": post(openai.Embeddings(service.model_name, service.prompts)),
        "/health": health,
        "/info": Resource(protected={"GET": Fixed(orjson.dumps(service.info))}),
        "/invocations": root,
        "/metrics": Resource(public={"GET": MetricsText(service)}),
        "/ping": health,
        "/predict": post(predict),
        "/rerank": _choosing(
            service, lambda content: documents if _has_documents(content) else rerank
        ),
        "/similarity": post(similarity),
        "/tokenize": Resource(protected={"POST": Ask(service, tokens.tokenize)}),
        "/v1/embeddings": post(openai.Embeddings(service.model_name, service.prompts)),
        "/v1/models": Resource(protected={"GET": Fixed(models)}),
        "/v1/rerank": post(documents),
        "/v2/rerank": post(documents),
        "/vertex": envelope,
    }
    if options.predict_path:
        resources[options.predict_path] = envelope
    if options.health_path:
        resources[options.health_path] = health
    return resources


def _post(service: Service, verb: Verb) -> Resource:
    return _choosing(service, lambda _: verb)


def _choosing(service: Service, choose: Callable[[bytes], Verb]) -> Resource:
    return Resource(protected={"POST": Infer(service, choose)})


def _has_documents(content: bytes) -> bool:
    """Whether a body to rank is in Cohere's dialect; TEI's has `texts`."""
    return b'"documents"' in content and b'"texts"' not in content
