"""The application: every part built once from the settings, and the ASGI app around them."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from app import preflight
from app.api.http.byte_budget import Bodies, BodyLimits
from app.api.http.info import info
from app.api.http.middleware import Browsers, wrap
from app.api.http.series import declare_series
from app.api.http.service import Limits, Service
from app.api.routes import RouteOptions, not_found, routes
from app.errors import StartupError
from app.inference.admission import Admission, AdmissionOptions
from app.inference.batching.runner_pool import RunOptions
from app.inference.batching.warm_up import WarmUp
from app.inference.batching.worker import BatchWorker
from app.inference.engine import Engine, EngineOptions
from app.inference.health import Health
from app.inference.loading import LoadedModel, LoadOptions, load, output_for
from app.inference.providers import machine
from app.inference.providers.plan import Plan
from app.lifecycle import Lifecycle
from app.model.manifest import Manifest, ManifestError
from app.model.names import TOKEN_EMBEDDINGS
from app.model.routing import Routing
from app.settings import Settings
from app.telemetry.metrics import Metrics
from app.telemetry.tracing import Tracer

logger = logging.getLogger(__name__)

CLOSE_SECONDS = 1.0  # for threads to end, when whoever waited for them has an answer or is gone


def build(settings: Settings, folder: Path) -> Service:
    """Load the exported model of a folder, prove it, and start its threads. Nothing listens yet.

    Raises: StartupError with the cause and the remedy.
    """
    for sentence in settings.warnings():
        logger.warning("%s", sentence)
    tracer = _tracer(settings)
    workers = settings.tokenization_workers or min(max(machine.usable_cores() - 1, 1), 64)
    options = LoadOptions(
        wanted=preflight.wanted(settings),
        tokenization_workers=workers,
        max_batch_tokens=settings.max_batch_tokens,
        auto_truncate=settings.auto_truncate,
    )
    manifest = _manifest(folder)
    admitted = _admission_options(settings, manifest)
    preflight.require_pooling(settings, manifest)
    engine_options = _engine_options(settings, manifest)
    model = load(folder, options)  # which takes long: what the options ask of it is refused before
    preflight.require_room(settings, admitted.default_prompt, model.tokenization)
    metrics = Metrics(model.max_input_length)
    worker = _start_worker(model, engine_options.output, metrics, settings)
    engine = Engine(engine_options, Admission(admitted, model.tokenization), worker)
    return Service(
        engine=engine,
        metrics=metrics,
        lifecycle=Lifecycle(),
        health=Health(engine, settings.run_timeout_seconds),
        model_name=settings.model_name,
        other_names=(settings.model_id, model.manifest.source.id),
        labels=model.manifest.labels,
        activation=model.manifest.scored_by,
        prompt_names=_prompt_names(model.manifest),
        created=int(datetime.fromisoformat(model.manifest.created).timestamp()),
        info=info(settings, model, workers),
        bodies=Bodies(_body_limits(settings)),
        limits=Limits(
            inputs=settings.max_client_batch_size,
            dimensions=model.manifest.dimensions,
            prompts=_prompt_names(model.manifest),
            body_bytes=settings.payload_limit,
        ),
        api_key=settings.api_key,
        headers=[
            (b"x-model-fingerprint", model.fingerprint.encode()),
            (b"x-compute-dtype", model.session.compute_dtype.encode()),
        ],
        tracer=tracer,
    )


def create_app(service: Service, settings: Settings) -> ASGIApp:
    """The ASGI application; its lifespan ends when the engine has answered what it holds."""
    declare_series(service)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        watch = asyncio.create_task(_watch(service))
        yield
        watch.cancel()
        await service.engine.close(CLOSE_SECONDS)

    app = Starlette(
        routes=routes(service, _route_options(settings)),
        lifespan=lifespan,
        exception_handlers={Exception: _internal_error},
    )
    app.router.redirect_slashes = False
    app.router.default = not_found
    browsers = Browsers(settings.cors_allow_origin, send_key=service.api_key is not None)
    return wrap(app, service.lifecycle, service.metrics, browsers)


def _manifest(folder: Path) -> Manifest:
    try:
        return Manifest.read(folder)
    except ManifestError as error:
        raise StartupError(str(error)) from None


async def _watch(service: Service) -> None:
    """End the process when its health has become hopeless; a supervisor starts another."""
    try:
        reason = await service.health.watch()
    except Exception as error:  # without the watch nobody would notice
        logger.exception("the watch over the model's health ended")
        reason = f"the watch over the model's health ended: {error!r}"
    service.lifecycle.fail(reason)


async def _internal_error(_: Request, __: Exception) -> Response:
    """A fault of ours: the server logs it, the client learns nothing of our insides."""
    content = b'{"error":"internal error","error_type":"Backend"}'
    return Response(content, 500, media_type="application/json")


def _tracer(settings: Settings) -> Tracer | None:
    """What sends traces, where that is asked for; only then is OpenTelemetry imported."""
    if settings.otlp_endpoint is None:
        return None
    try:
        from app.telemetry.otlp import OtlpTracer
    except ImportError as error:
        raise StartupError(
            f"--otlp-endpoint needs the extra otlp, pip install 'embedding-service[otlp]': {error}"
        ) from None
    return OtlpTracer(settings.otlp_endpoint, settings.otlp_service_name)


def _start_worker(
    model: LoadedModel, output: str, metrics: Metrics, settings: Settings
) -> BatchWorker:
    """A worker with its threads, over sessions that have learned what a second allows."""
    padding = model.manifest.padding
    limits = model.limits.capped(settings.max_batch_requests)
    options = _run_options(model.session.plan, settings)
    worker = BatchWorker(model.sessions, padding, limits, metrics, options)
    warm_up = WarmUp(limits.shapes(), output, padding, model.sessions * options.threads)
    warm_up.at_start()
    worker.start(warm_up)
    return worker


def _run_options(plan: Plan, settings: Settings) -> RunOptions:
    return RunOptions(
        plan.run_threads, plan.lone_threads, plan.one_long, settings.run_timeout_seconds
    )


def _engine_options(settings: Settings, manifest: Manifest) -> EngineOptions:
    return EngineOptions(
        task=manifest.task,
        output=output_for(manifest, settings.pooling),
        dimensions=manifest.dimensions,
        has_tokens=any(TOKEN_EMBEDDINGS in graph.outputs for graph in manifest.graphs),
        lexical=manifest.lexical,
        multi_vector=manifest.multi_vector,
    )


def _admission_options(settings: Settings, manifest: Manifest) -> AdmissionOptions:
    return AdmissionOptions(
        prompts=manifest.prompts,
        default_prompt=_default_prompt(settings, manifest),
        auto_truncate=settings.auto_truncate,
        truncation_side=manifest.truncation_side,
        max_concurrent_requests=settings.max_concurrent_requests,
        max_client_batch_size=settings.max_client_batch_size,
        tokenization_timeout_seconds=settings.run_timeout_seconds,
        routing=Routing.of(manifest),
        default_prompt_name=settings.default_prompt_name,
    )


def _prompt_names(manifest: Manifest) -> tuple[str, ...]:
    """What a request may ask for: the model's prompts, and the names that choose a route."""
    return tuple(dict.fromkeys((*manifest.prompts, *Routing.of(manifest).names)))


def _body_limits(settings: Settings) -> BodyLimits:
    return BodyLimits(
        bytes_each=settings.payload_limit,
        bytes_together=settings.max_concurrent_bytes,
        seconds=settings.client_timeout_seconds,
    )


def _route_options(settings: Settings) -> RouteOptions:
    return RouteOptions(
        root_is_similarity=settings.task == "sentence-similarity",
        predict_path=settings.aip_predict_route,
        health_path=settings.aip_health_route,
    )


def _default_prompt(settings: Settings, manifest: Manifest) -> str | None:
    """What goes before an input for which no prompt is named: an option's, or the checkpoint's."""
    preflight.require_texts(settings, manifest)
    if settings.default_prompt is not None:
        return settings.default_prompt or None
    if settings.default_prompt_name is None:
        return manifest.default_prompt
    routing = Routing.of(manifest)
    if routing.knows(settings.default_prompt_name):
        return routing.prompt(settings.default_prompt_name)
    return preflight.default_prompt(manifest.prompts, settings.default_prompt_name)
