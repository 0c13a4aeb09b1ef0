"""Routes: every path, its methods, and which of them need the API key.

`docs.operations` describes each of them.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Self

import orjson
from starlette.routing import Route, Router
from starlette.types import Receive, Scope, Send

from app.api import model_list, open_inference
from app.api.batches.routes import batch_routes
from app.api.docs import swagger
from app.api.docs.batch_operations import BATCH_OPERATIONS
from app.api.docs.limits import Limits
from app.api.docs.open_inference import OPERATIONS
from app.api.docs.openapi import describe
from app.api.docs.operations import operations
from app.api.http.endpoints import (
    Answer,
    BatchedPost,
    ConstantJson,
    HealthCheck,
    JsonOnDemand,
    MetricsText,
    UnbatchedPost,
)
from app.api.http.forms.form import JsonForm
from app.api.http.info import info
from app.api.http.paths import without_spare_slashes
from app.api.http.service import Service
from app.api.http.transport import respond
from app.api.playground import pages as playground
from app.api.resources import Guarded, Resource
from app.api.verbs import openai, tei_tokenize, vertex
from app.api.verbs.cohere.embed import CohereEmbed
from app.api.verbs.cohere.rerank import RerankDocuments
from app.api.verbs.counting import failures_counted
from app.api.verbs.tei_embed import Embed, EmbedAll, EmbedSparse, Similarity
from app.api.verbs.tei_score import Predict, Rerank
from app.api.verbs.verb import Verb
from app.errors import StartupError
from app.model.lookup.served_names import path_of
from app.model.names import Task
from app.options.settings import Settings

_OF_THE_PROCESS = frozenset({"/livez", "/metrics", "/readyz"})


@dataclass(frozen=True, slots=True)
class RouteOptions:
    """Paths and aliases for hosting platforms."""

    root_is_similarity: bool = False  # POST / is /similarity, for embedding models
    predict_path: str | None = None  # one more path for /vertex
    health_path: str | None = None  # one more path for /health
    has_playground: bool = False

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Return the options of these settings."""
        return cls(
            root_is_similarity=settings.task == "sentence-similarity",
            predict_path=settings.aip_predict_route,
            health_path=settings.aip_health_route,
            has_playground=settings.playground,
        )


def routes(service: Service, options: RouteOptions) -> list[Route]:
    """Return every path of the service, and those of each model below `/tei/` and its name.

    Raises: StartupError for a model whose paths are those of another.
    """
    resources = _resources(service, options) | batch_routes(service)
    own = RouteOptions(options.root_is_similarity)
    for model in service.models.each:
        base = f"/tei/{path_of(model.name)}"
        below = _resources(service.of_one(model), own, base)
        named = {f"{base}{path}": below[path] for path in below.keys() - _OF_THE_PROCESS}
        if taken := resources.keys() & named.keys():
            raise StartupError(
                f"{model.name}: {min(taken)} is another model's path already: give the model "
                "another --served-model-name (SERVED_MODEL_NAME)"
            )
        resources |= {base: below["/"], **named}
    for path, resource in _for_kserve(service, resources).items():
        resources[path] = resource.with_methods_of(resources.get(path, Resource()))
    keys, metrics = service.keys, service.metrics
    return [
        Route(
            path,
            model_list.counted(
                path, resource if keys is None else Guarded(resource, keys, metrics)
            ),
        )
        for path, resource in resources.items()
    ]


def _for_kserve(service: Service, own: Mapping[str, Resource]) -> dict[str, Resource]:
    """Return the paths of the protocols that KServe's runtimes speak: Open Inference, OpenAI's."""
    prefixed = {f"/openai{path}": own[path] for path in own if path.startswith("/v1/")}
    return {**prefixed, **open_inference.resources(service)}


class ByPath:
    """Finds a path by its name; the router tries those with a parameter, one after the other."""

    def __init__(self, router: Router) -> None:
        self._router = router
        self._found = {
            route.path: route.app
            for route in router.routes
            if isinstance(route, Route) and "{" not in route.path
        }

    def __call__(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        found = self._found.get(scope["path"]) if scope["type"] == "http" else None
        if found is None:
            return self._router(scope, receive, send)
        scope["endpoint"] = found  # as the router says that it knows a path
        return found(scope, receive, send)


async def not_found(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer 404 with an empty body, whatever the path."""
    del scope, receive
    await respond(send, 404, b"", None, [])


def _resources(service: Service, options: RouteOptions, base: str = "") -> dict[str, Resource]:
    verbs = _verbs()
    model = service.model
    task = model.manifest.task
    single = _single(task, verbs)
    root = verbs["/rerank"] if task == "reranker" else single
    if options.root_is_similarity and task in {"embedding", "splade"}:
        root = verbs["/similarity"]
    # An instance is read as the first verb that it fits.
    instances = partial(vertex.answer, (verbs["/rerank"], single), model.metrics)
    envelope = _ask(service, "vertex_compatibility", instances)
    health = _probe(service, service.models.check)
    description = JsonOnDemand(partial(_description, service, verbs, base))
    resources = {path: _post(service, verb) for path, verb in verbs.items()} | {
        "/": Resource(public=health.public, protected=_post(service, root).protected),
        "/api-doc/openapi.json": Resource(public={"GET": description}),
        "/decode": _ask(
            service, "decode", partial(failures_counted, model.metrics, tei_tokenize.decode)
        ),
        "/health": health,
        "/info": _fixed(orjson.dumps(info(model))),
        "/invocations": _post(service, root),
        "/livez": _probe(service, service.models.check_alive, while_draining=True),
        "/metrics": Resource(public={"GET": MetricsText(service)}),
        "/ping": health,
        "/readyz": _probe(service, service.models.check_recent),
        "/rerank": _choosing(
            service, lambda body: verbs["/v1/rerank" if _has_documents(body) else "/rerank"]
        ),
        "/tokenize": _ask(
            service, "tokenize", partial(failures_counted, model.metrics, tei_tokenize.tokenize)
        ),
        "/v1/models": _fixed(model_list.listed(service)),
        "/v1/models/{id:path}": Resource(protected={"GET": model_list.OneModel(service)}),
        "/vertex": envelope,
    }
    resources |= {at: Resource(public={"GET": page}) for at, page in swagger.pages(base).items()}
    if options.has_playground:
        resources |= {at: Resource(public={"GET": page}) for at, page in playground.pages().items()}
    for path, more in ((options.predict_path, envelope), (options.health_path, health)):
        if path is not None:
            path = without_spare_slashes(path)
            resources[path] = resources.get(path, Resource()).with_methods_of(more)
    return resources


def _description(service: Service, verbs: Mapping[str, Verb], base: str) -> bytes:
    """Return the OpenAPI document of the process, or of one model of several below `base`."""
    described = operations(verbs)
    if base:
        described = [one for one in described if one.path not in _OF_THE_PROCESS]
    else:
        described += OPERATIONS
        if service.desk is not None:
            described += BATCH_OPERATIONS
    limits, has_key = Limits.of(service.models.each), service.keys is not None
    return orjson.dumps(describe(described, limits, has_key=has_key, base=base))


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
        "/v2/embed": CohereEmbed(),
        "/v2/rerank": documents,
    }


def _probe(
    service: Service, check: Callable[[], Awaitable[None]], *, while_draining: bool = False
) -> Resource:
    return Resource(public={"GET": HealthCheck(service, check, while_draining=while_draining)})


def _fixed(content: bytes) -> Resource:
    return Resource(protected={"GET": ConstantJson(content)})


def _ask(service: Service, name: str, answer: Answer) -> Resource:
    return Resource(protected={"POST": UnbatchedPost(service.of_first, name, answer)})


def _post(service: Service, verb: Verb) -> Resource:
    names_models = "model" in verb.shape.fields  # TEI's dialect does not
    return _choosing(service if names_models else service.of_first, lambda _: verb)


def _choosing(service: Service, choose: Callable[[bytes], Verb]) -> Resource:
    return Resource(protected={"POST": BatchedPost(service, JsonForm(choose))})


def _has_documents(content: bytes) -> bool:
    """Check whether a body to rank is in Cohere's dialect; TEI's has `texts`."""
    return b'"documents"' in content and b'"texts"' not in content
