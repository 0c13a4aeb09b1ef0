"""The route table, and the endpoints: parse → engine → render."""

import hmac
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import orjson
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.dialect import Dialect, EmbedRequest
from app.api.openai import OpenAIDialect
from app.api.tei import EmbedDialect
from app.api.transport import (
    JSON,
    TEXT,
    RawHeaders,
    header,
    read_json_body,
    respond,
    unless_gone,
)
from app.errors import ClientGone, ServiceError, Unhealthy, UnreadableRequest
from app.inference.engine import Embeddings, Engine
from app.lifecycle import Lifecycle
from app.metrics import Metrics

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Service:
    """What the endpoints need."""

    engine: Engine
    metrics: Metrics
    lifecycle: Lifecycle
    model_name: str
    info: Mapping[str, object]  # the answer of GET `/info`
    payload_limit: int
    api_key: str | None


def routes(service: Service) -> list[Route]:
    """Every path of the service."""
    embed = Embed(service, EmbedDialect())
    openai = Embed(service, OpenAIDialect(service.model_name))
    health = Health(service)
    resources = {
        "/": Resource(public={"GET": health}, protected={"POST": embed}),
        "/embed": Resource(protected={"POST": embed}),
        "/embeddings": Resource(protected={"POST": openai}),
        "/health": Resource(public={"GET": health}),
        "/info": Resource(protected={"GET": Info(service)}),
        "/invocations": Resource(protected={"POST": embed}),
        "/metrics": Resource(public={"GET": MetricsText(service)}),
        "/ping": Resource(public={"GET": health}),
        "/v1/embeddings": Resource(protected={"POST": openai}),
    }
    key = service.api_key
    return [
        Route(path, Guarded(resource, key) if key is not None else resource)
        for path, resource in resources.items()
    ]


async def not_found(scope: Scope, receive: Receive, send: Send) -> None:
    """404 with an empty body, whatever the path."""
    del scope, receive
    await respond(send, 404, b"", None, [])


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


class Embed:
    """POST of one dialect's embedding request."""

    def __init__(self, service: Service, dialect: Dialect) -> None:
        self._service = service
        self._dialect = dialect

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        try:
            content = await read_json_body(scope, receive, self._service.payload_limit)
            request = self._dialect.parse(content)
            embeddings = await unless_gone(receive, self._counted(request, started))
        except UnreadableRequest as error:
            await respond(send, error.status, str(error).encode(), TEXT, [])
        except ServiceError as error:
            logger.error("%s", error)
            content = self._dialect.render_error(error)
            await respond(send, error.status, content, JSON, _error_headers(error))
        except ClientGone:
            logger.debug("the client went away before its answer")
        else:
            content = self._dialect.render(request, embeddings)
            await respond(send, 200, content, JSON, _timing_headers(request, embeddings, started))

    async def _counted(self, request: EmbedRequest, started: float) -> Embeddings:
        """Embed, and record the request once."""
        metrics = self._service.metrics
        method = f'method="{"batch" if request.is_batch else "single"}"'
        metrics.count("te_request_count", method)
        metrics.count("te_embed_count", amount=len(request.inputs))
        try:
            embeddings = await self._service.engine.embed(request.inputs, request.options)
        except ServiceError as error:
            metrics.count("te_request_failure", f'err="{error.metric_label}"')
            raise
        metrics.count("te_request_success", method)
        _record(metrics, embeddings, time.perf_counter() - started)
        return embeddings


class Health:
    """200 while the model answers and the service is not shutting down, else 503."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del scope, receive
        try:
            if self._service.lifecycle.draining:
                raise Unhealthy
            await self._service.engine.check_health()
        except Unhealthy as error:
            content = EmbedDialect().render_error(error)
            await respond(send, error.status, content, JSON, [])
        else:
            await respond(send, 200, b"", None, [])


class Info:
    """What is served, and with which limits."""

    def __init__(self, service: Service) -> None:
        self._content = orjson.dumps(service.info)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del scope, receive
        await respond(send, 200, self._content, JSON, [])


class MetricsText:
    """All metrics in Prometheus' text format."""

    def __init__(self, service: Service) -> None:
        self._metrics = service.metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        del scope, receive
        await respond(send, 200, self._metrics.render().encode(), TEXT, [])


def _error_headers(error: ServiceError) -> RawHeaders:
    return [(b"retry-after", b"1")] if error.status == 429 else []


def _timing_headers(request: EmbedRequest, embeddings: Embeddings, started: float) -> RawHeaders:
    """TEI's headers, in its units: whole milliseconds, cut off."""
    timings = embeddings.timings
    total = time.perf_counter() - started
    numbers = {
        b"x-compute-time": total * 1000,
        b"x-compute-characters": sum(map(len, request.inputs)),
        b"x-compute-tokens": sum(embeddings.token_counts),
        b"x-total-time": total * 1000,
        b"x-tokenization-time": timings.tokenization * 1000,
        b"x-queue-time": timings.queue * 1000,
        b"x-inference-time": timings.inference * 1000,
    }
    return [
        (b"x-compute-type", b"gpu+optimized"),  # a constant in TEI, also on a CPU
        *((name, b"%d" % number) for name, number in numbers.items()),
    ]


def _record(metrics: Metrics, embeddings: Embeddings, seconds: float) -> None:
    """Durations of the request and of each of its inputs, which share their request's means."""
    inputs = len(embeddings.token_counts)
    timings = embeddings.timings
    durations = {
        "duration": seconds,
        "tokenization_duration": timings.tokenization,
        "queue_duration": timings.queue,
        "inference_duration": timings.inference,
    }
    metrics.count("te_embed_success", amount=inputs)
    for name, value in durations.items():
        metrics.observe(f"te_request_{name}", value)
        metrics.observe(f"te_embed_{name}", value, inputs)
    for count in embeddings.token_counts:
        metrics.observe("te_request_input_length", count)
