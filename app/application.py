"""The application: the parts that requests share, around the model, and the ASGI app over them."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from app import preflight
from app.access.api_keys import all_keys
from app.api.by_path import by_path
from app.api.http.byte_budget import Bodies, BodyLimits
from app.api.http.metric_series import declare_series
from app.api.http.middleware import Browsers, wrap
from app.api.http.service import Service
from app.api.routes import RouteOptions, not_found, routes
from app.errors import StartupError
from app.inference.several.served_models import ServedModels
from app.lifecycle import Lifecycle
from app.settings import Settings
from app.telemetry.metrics import Metrics
from app.telemetry.tracing import Tracer

logger = logging.getLogger(__name__)

CLOSE_SECONDS = 1.0  # for threads to end, once every caller has an answer or is gone


def build(settings: Settings, folder: Path) -> Service:
    """Open one model as `build_each` does."""
    return build_each([(settings, folder)])


def build_each(prepared: Sequence[tuple[Settings, Path]]) -> Service:
    """Open the models of these folders for requests, each with its settings. Nothing listens yet.

    Raises: StartupError with the cause and the remedy.
    """
    settings = prepared[0][0]
    for sentence in preflight.warnings(settings):
        logger.warning("%s", sentence)
    keys = all_keys(settings.api_key, settings.api_key_file)
    tracer = _tracer(settings)
    metrics = Metrics()
    models = ServedModels.open(prepared, metrics)
    metrics.bound_input_length(max(one.loaded.max_input_length for one in models.each))
    return Service(
        models=models,
        metrics=metrics,
        lifecycle=Lifecycle(),
        bodies=Bodies(BodyLimits.of(settings)),
        keys=keys,
        tracer=tracer,
    )


def create_app(service: Service, settings: Settings) -> ASGIApp:
    """Return the ASGI application; its lifespan ends when the models have answered all requests."""
    declare_series(service)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        watch = asyncio.create_task(_watch(service))
        yield
        watch.cancel()
        await service.models.close(CLOSE_SECONDS)

    app = Starlette(
        routes=by_path(routes(service, RouteOptions.of(settings))),
        lifespan=lifespan,
        exception_handlers={Exception: _internal_error},
    )
    app.router.redirect_slashes = False
    app.router.default = not_found
    browsers = Browsers(settings.cors_allow_origin, send_key=service.keys is not None)
    return wrap(app, service.lifecycle, service.metrics, browsers)


async def _watch(service: Service) -> None:
    """End the process when its health has become hopeless; a supervisor starts another."""
    try:
        reason = await service.models.watch()
    except Exception as error:  # without the watch, failures would go unnoticed
        logger.exception("the watch over the model's health ended")
        reason = f"the watch over the model's health ended: {error!r}"
    service.lifecycle.fail(reason)


async def _internal_error(_: Request, __: Exception) -> Response:
    """Answer an error of ours without details; the server logs it."""
    content = b'{"error":"internal error","error_type":"Backend"}'
    return Response(content, 500, media_type="application/json")


def _tracer(settings: Settings) -> Tracer | None:
    """Return the tracer, if one is configured; only then import OpenTelemetry."""
    if settings.otlp_endpoint is None:
        return None
    try:
        from app.telemetry.otlp import OtlpTracer
    except ImportError as error:
        raise StartupError(
            f"--otlp-endpoint needs the extra otlp, pip install 'embedding-service[otlp]': {error}"
        ) from None
    return OtlpTracer(settings.otlp_endpoint, settings.otlp_service_name)
