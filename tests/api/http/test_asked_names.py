"""Model names in requests: which are the model's own, and which cause a warning."""

import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from starlette.types import ASGIApp

from app.api.http.asked_names import MOST_REMEMBERED
from app.api.http.service import Service
from app.model.parts import Source
from tests.api.conftest import MakeKind
from tools import tiny
from tools.asgi import post

MakeService = Callable[..., tuple[Service, ASGIApp]]


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    found = [one.getMessage() for one in caplog.records if one.levelno == logging.WARNING]
    caplog.clear()
    return found


def warned(name: str, served: str) -> str:
    return (
        f"The provided `model={name}` has not been found, the `model` parameter should be provided "
        f"either empty or with `model={served}` instead."
    )


@pytest.mark.parametrize(
    ("kind", "path", "body"),
    [
        ("embedding", "/v1/embeddings", {"input": "a"}),
        ("embedding", "/embeddings", {"input": "a"}),
        ("reranker", "/v1/rerank", {"query": "a", "documents": ["b"]}),
        ("reranker", "/rerank", {"query": "a", "documents": ["b"]}),
    ],
)
def test_a_foreign_name_is_warned_of_once_and_answered(
    make_kind: MakeKind, caplog: pytest.LogCaptureFixture, kind: str, path: str, body: Any
) -> None:
    app = make_kind(kind, served_model_name="ours")
    warnings(caplog)
    for name in ("zzz", "zzz", "zz"):
        reply = post(app, path, {**body, "model": name})
        assert (reply.status, reply.json["model"]) == (200, "ours")
    assert warnings(caplog) == [warned("zzz", "ours"), warned("zz", "ours")]


def test_the_names_of_the_model_are_not_foreign(
    make_service: MakeService, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    manifest = tiny.build(tmp_path)
    source = Source("org/original", None, manifest.source.architecture, manifest.source.model_type)
    tiny.seal(tmp_path, replace(manifest, source=source))
    for settings in ({}, {"served_model_name": "ours"}):
        _, app = make_service(model_id=str(tmp_path), **settings)
        warnings(caplog)
        ends = ("org/original-query", f"{tmp_path}-passage")
        for name in (None, "", *settings.values(), str(tmp_path), "org/original", *ends):
            assert post(app, "/v1/embeddings", {"input": "a", "model": name}).status == 200
        assert warnings(caplog) == []
        post(app, "/v1/embeddings", {"input": "a", "model": "Org/original"})
        assert len(warnings(caplog)) == 1


def test_tei_s_own_routes_have_no_such_field(
    app: ASGIApp, caplog: pytest.LogCaptureFixture
) -> None:
    warnings(caplog)
    assert post(app, "/embed", {"inputs": "a", "model": "zzz"}).status == 200
    assert warnings(caplog) == []


def test_a_refused_request_is_warned_of_too(app: ASGIApp, caplog: pytest.LogCaptureFixture) -> None:
    warnings(caplog)
    assert post(app, "/v1/embeddings", {"input": "", "model": "zzz"}).status == 400
    assert len(warnings(caplog)) == 1


def test_shown_and_remembered_names_are_bounded(
    make_service: MakeService, caplog: pytest.LogCaptureFixture
) -> None:
    service, _ = make_service(served_model_name="ours")
    warnings(caplog)
    assert service.model_for("é" * 2_000_000) is service.model_for("é" * 3_000_000)
    assert warnings(caplog) == [warned("é" * 100 + "…", "ours")]
    for number in range(MOST_REMEMBERED):
        service.model_for(str(number))
    assert len(warnings(caplog)) == MOST_REMEMBERED
    service.model_for("é" * 2_000_000)
    assert len(warnings(caplog)) == 1  # evicted by the names after it
