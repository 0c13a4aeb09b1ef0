"""The application: the parts that requests share, around the model, and the ASGI app over them."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

from starlette.routing import Router
from starlette.types import ASGIApp

from app import preflight
from app.access.api_keys import all_keys
from app.api.batches.computed import batches_computed
from app.api.http.byte_budget import Bodies, BodyLimits
from app.api.http.metric_series import declare_series
from app.api.http.middleware import Browsers, wrap
from app.api.http.service import Service
from app.api.routes import ByPath, RouteOptions, not_found, routes
from app.batches.desk import Desk
from app.errors import StartupError
from app.inference.several.served_models import ServedModels
from app.lifecycle import Lifecycle
from app.options.settings import Settings
from app.telemetry.metrics import Metrics
from app.telemetry.tracing import Tracer

logger = logging.getLogger(__name__)

Beside = contextlib.AbstractAsyncContextManager[None]

_NOTHING = contextlib.nullcontext()
CLOSE_SECONDS = 1.0  # seconds for threads to end, once every caller has an answer or is gone


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
    desk = None if settings.batch_dir is None else Desk(settings.batch_dir)
    with contextlib.ExitStack() as unless_open:
        if desk is not None:
            unless_open.callback(desk.close)
        models = ServedModels.open(prepared, metrics)
        unless_open.pop_all()
    metrics.bound_input_length(max(one.loaded.max_input_length for one in models.each))
    return Service(
        models=models,
        metrics=metrics,
        lifecycle=Lifecycle(),
        bodies=Bodies(BodyLimits.of(settings)),
        keys=keys,
        tracer=tracer,
        desk=desk,
    )


def create_app(service: Service, settings: Settings, beside: Beside = _NOTHING) -> ASGIApp:
    """Return the ASGI application; its lifespan ends when the models have answered all requests.

    `beside` is open for as long: another API to the same models.
    """
    declare_series(service)

    @contextlib.asynccontextmanager
    async def lifespan(_: ASGIApp) -> AsyncIterator[None]:
        watch = asyncio.create_task(_watch(service))
        async with beside, batches_computed(service):
            yield
        watch.cancel()
        await service.models.close(CLOSE_SECONDS)

    router = Router(
        routes(service, RouteOptions.of(settings)),
        redirect_slashes=False,
        default=not_found,
        lifespan=lifespan,
    )
    browsers = Browsers(settings.cors_allow_origin, send_key=service.keys is not None)
    return wrap(ByPath(router), service.lifecycle, service.metrics, browsers)


def grpc_api(
    service: Service, settings: Settings, addresses: Callable[[], Sequence[str]] | None
) -> Beside:
    """Return the gRPC API at these addresses, if there are any."""
    if addresses is None:
        return _NOTHING
    from app.rpc.server import opened  # needs an extra

    return opened(service, settings, addresses)


async def _watch(service: Service) -> None:
    """End the process when its health has become hopeless; a supervisor starts another."""
    try:
        reason = await service.models.watch()
    except Exception as error:  # without the watch, failures would go unnoticed
        logger.exception("the watch over the model's health ended")
        reason = f"the watch over the model's health ended: {error!r}"
    service.lifecycle.fail(reason)


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
