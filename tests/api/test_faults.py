"""What clients see when the model, another client or their own patience fails."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from starlette.types import ASGIApp

from app.api.endpoints import Service
from tests import tiny
from tests.asgi import post, request

MakeService = Callable[..., tuple[Service, ASGIApp]]


def spoil(monkeypatch: pytest.MonkeyPatch, service: Service, text: str, value: float) -> None:
    """Let the model yield `value` for one text."""
    session = service.engine._worker._session
    real_run = type(session).run
    word = tiny.ids_of(text)[1]

    def run(self: Any, batch: Any, outputs: Any) -> Any:
        results = real_run(self, batch, outputs)
        for result in results.values():
            result[batch.input_ids[:, 1] == word] = value
        return results

    monkeypatch.setattr(type(session), "run", run)


@pytest.mark.parametrize(
    ("value", "label", "fault"),
    [
        (np.nan, "not_finite", "not finite"),
        (np.inf, "not_finite", "not finite"),
        (0, "inference", "zero"),
    ],
)
def test_a_vector_that_json_cannot_hold_is_424_for_its_request_alone(
    make_service: MakeService, monkeypatch: pytest.MonkeyPatch, value: float, label: str, fault: str
) -> None:
    service, app = make_service()
    spoil(monkeypatch, service, "dog", value)
    bad = post(app, "/embed", {"inputs": ["cat", "dog"]})
    assert bad.status == 424
    assert bad.json["error"] == f"Backend error: the embedding of input 1 is {fault}"
    assert post(app, "/embed", {"inputs": ["cat"]}).status == 200
    assert request(app, "GET", "/health").status == 200
    assert f'te_request_failure{{err="{label}"}} 1' in request(app, "GET", "/metrics").text


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
def test_probes_are_empty_while_all_is_well(app: ASGIApp, path: str) -> None:
    reply = request(app, "GET", path, headers={})
    assert (reply.status, reply.content) == (200, b"")


def test_while_draining_the_process_is_alive_and_not_ready(make_service: MakeService) -> None:
    service, app = make_service()
    service.lifecycle.end()
    assert request(app, "GET", "/livez").status == 200
    sick = request(app, "GET", "/readyz")
    assert (sick.status, sick.json) == (503, {"error": "unhealthy", "error_type": "Unhealthy"})
    assert request(app, "GET", "/health").status == 503


def test_a_model_that_yields_nothing_finite_is_not_ready(
    make_service: MakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    service, app = make_service()
    spoil(monkeypatch, service, "health", np.nan)  # an unknown word, as the probe's is
    spoil(monkeypatch, service, "dog", np.nan)
    assert post(app, "/embed", {"inputs": "dog"}).status == 424
    assert request(app, "GET", "/readyz").status == 503
    monkeypatch.undo()
    assert request(app, "GET", "/readyz").status == 200
