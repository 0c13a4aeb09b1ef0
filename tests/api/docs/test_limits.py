"""Limits: the bounds on requests in the service's description."""

from collections.abc import Callable

from starlette.types import ASGIApp

from app.api.docs.limits import Limits
from app.api.http.service import Service
from tools import tiny


def test_they_are_the_model_s_and_the_settings_of_it(
    make_service: Callable[..., tuple[Service, ASGIApp]],
) -> None:
    service, _ = make_service(max_client_batch_size=7, payload_limit=1234)
    assert Limits.of([service.model]) == Limits(
        inputs=7, dimensions=tiny.DIMENSIONS, prompts=tuple(tiny.PROMPTS), body_bytes=1234
    )
