"""The service as an application of Ray Serve: `serve run serve.yaml` beside this file.

Serve's proxy takes the place of the service's own server; routes, answers, batches and limits are
the same.
"""

import os
from collections.abc import Mapping
from typing import Any

from ray import serve
from reserved import settings
from starlette.types import ASGIApp

from app import preflight
from app.application import build, create_app
from app.download.preparation import prepared


@serve.deployment(
    # As many requests as the service admits by itself; more wait at the proxy.
    max_ongoing_requests=512,
    # Requests wait for the model or are in it. This number keeps its batches full; with a higher
    # mean, replicas are added.
    autoscaling_config={"min_replicas": 1, "max_replicas": 4, "target_ongoing_requests": 16},
    ray_actor_options={"num_cpus": 2},
)
@serve.ingress()
class EmbeddingService:
    """One model on the CPUs or GPUs that Ray has reserved for the replica."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        """Open and prove the model. Raises: UsageError or StartupError."""
        wanted = settings(options)
        preflight.check(wanted)
        with prepared(wanted, os.environ) as (meant, folder):
            service = build(meant, folder)
        self._lifecycle = service.lifecycle
        self._app = create_app(service, meant)

    def __serve_build_asgi_app__(self) -> ASGIApp:
        """Return the application, which Serve asks for after the constructor."""
        return self._app

    def check_health(self) -> None:
        """Let Serve replace a replica whose model is lost."""
        if self._lifecycle.failure is not None:
            raise RuntimeError(self._lifecycle.failure)


def application(options: dict[str, Any]) -> serve.Application:
    """Return the application for the service's options, as in `model_id=…`."""
    return EmbeddingService.bind(options)  # type: ignore[attr-defined]  # Ray's decorator adds it
