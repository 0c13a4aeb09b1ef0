"""Endpoint: every error has OpenAI's shape, whatever failed."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from starlette.types import ASGIApp

from app.api.http.service import Service
from app.batches.store import Store
from tools.asgi import request

MakeService = Callable[..., tuple[Service, ASGIApp]]


def test_a_failing_database_is_reported(keeping: ASGIApp, monkeypatch: pytest.MonkeyPatch) -> None:
    def damaged(*_: object) -> None:
        raise sqlite3.DatabaseError("database disk image is malformed")

    monkeypatch.setattr(Store, "batches", damaged)
    monkeypatch.setattr(Store, "file", damaged)
    for path in ("/v1/batches", "/v1/files/x", "/v1/files/x/content"):
        reply = request(keeping, "GET", path)
        assert (reply.status, reply.json["error"]) == (
            507,
            {
                "message": "The batch folder cannot be used: database disk image is malformed",
                "type": "server_error",
                "param": None,
                "code": None,
            },
        )


def test_plain_text_errors_of_other_routes_are_json_here(keeping: ASGIApp) -> None:
    reply = request(keeping, "POST", "/v1/batches", b"{}", {"content-type": "text/plain"})
    assert (reply.status, reply.json["error"]["type"]) == (415, "invalid_request_error")


def test_uploads_share_the_bytes_of_all_requests(make_service: MakeService, tmp_path: Path) -> None:
    service, app = make_service(batch_dir=tmp_path, max_concurrent_bytes=1000, payload_limit=1000)
    reply = request(app, "POST", "/v1/files", b"", {"content-type": "multipart/form-data"})
    assert (reply.status, reply.json["error"]["type"]) == (429, "rate_limit_error")
    assert reply.headers["retry-after"] == "1"
    assert service.bodies.free == service.bodies.total
