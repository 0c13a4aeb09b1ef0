"""Batches: made, listed and cancelled."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from openai.types import Batch
from starlette.types import ASGIApp

from app.api.http.service import Service
from app.batches.desk import MOST_OPEN
from tests.support.batches import NEW, form
from tools.asgi import post, request
from tools.client import JSON

MakeService = Callable[..., tuple[Service, ASGIApp]]


def upload(app: ASGIApp, key: str = "") -> str:
    body, headers = form(b"{}\n")
    headers |= {"authorization": f"Bearer {key}"}
    file_id: str = request(app, "POST", "/v1/files", body, headers).json["id"]
    return file_id


def test_a_batch_waits_to_be_read(keeping: ASGIApp) -> None:
    file_id = upload(keeping)
    reply = post(keeping, "/v1/batches", {**NEW, "input_file_id": file_id, "metadata": {"a": "b"}})
    batch = Batch.model_validate(reply.json)
    assert (batch.status, batch.input_file_id, batch.metadata) == (
        "validating",
        file_id,
        {"a": "b"},
    )
    assert batch.expires_at == batch.created_at + 86_400
    assert request(keeping, "GET", f"/v1/batches/{batch.id}").json == reply.json
    listed = request(keeping, "GET", "/v1/batches?limit=1").json
    assert (listed["data"], listed["has_more"]) == ([reply.json], False)
    cancelled = request(keeping, "POST", f"/v1/batches/{batch.id}/cancel").json
    assert (cancelled["status"], cancelled["cancelling_at"] is None) == ("cancelling", False)
    reply = request(keeping, "DELETE", f"/v1/files/{file_id}")
    assert (reply.status, reply.json["error"]["message"]) == (
        400, f"{file_id} is the input of {batch.id}, which has not ended yet"
    )  # fmt: skip


def test_pages_of_batches(keeping: ASGIApp) -> None:
    new = {**NEW, "input_file_id": upload(keeping)}
    ids = [post(keeping, "/v1/batches", new).json["id"] for _ in range(23)][::-1]
    page = request(keeping, "GET", "/v1/batches").json
    assert ([one["id"] for one in page["data"]], page["has_more"]) == (ids[:20], True)
    page = request(keeping, "GET", f"/v1/batches?after={ids[19]}").json
    assert ([one["id"] for one in page["data"]], page["has_more"]) == (ids[20:], False)
    assert request(keeping, "GET", "/v1/batches?limit=101").status == 400


@pytest.mark.parametrize(
    ("changes", "status", "param", "code"),
    [
        ({"endpoint": None}, 400, "endpoint", "missing_required_parameter"),
        ({"endpoint": 5}, 400, "endpoint", "invalid_type"),
        ({"endpoint": "/v1/chat/completions"}, 400, "endpoint", "invalid_value"),
        ({"completion_window": "1h"}, 400, "completion_window", "invalid_value"),
        ({"completion_window": None}, 400, "completion_window", "missing_required_parameter"),
        ({"input_file_id": None}, 400, "input_file_id", "missing_required_parameter"),
        ({"input_file_id": "file-1"}, 404, "input_file_id", None),
        ({"metadata": ["a"]}, 400, "metadata", None),
        ({"output_expires_after": 5}, 400, "output_expires_after", None),
    ],
)
def test_invalid_values_are_refused(
    keeping: ASGIApp, changes: dict[str, Any], status: int, param: str, code: str | None
) -> None:
    new = {**NEW, "input_file_id": upload(keeping), **changes}
    reply = post(keeping, "/v1/batches", new)
    found = reply.json["error"]
    assert (reply.status, found["param"], found["code"]) == (status, param, code)
    assert found["type"] == "invalid_request_error"
    assert request(keeping, "GET", "/v1/batches").json["data"] == []


def test_one_batch_too_many(keeping: ASGIApp) -> None:
    new = {**NEW, "input_file_id": upload(keeping)}
    for _ in range(MOST_OPEN):
        assert post(keeping, "/v1/batches", new).status == 200
    reply = post(keeping, "/v1/batches", new)
    found = reply.json["error"]
    assert (reply.status, found["type"], found["code"]) == (
        429, "rate_limit_error", "rate_limit_exceeded"
    )  # fmt: skip


@pytest.mark.parametrize("body", [b"{", b"[]", b""])
def test_a_body_that_is_no_object(keeping: ASGIApp, body: bytes) -> None:
    reply = request(keeping, "POST", "/v1/batches", body)
    assert (reply.status, set(reply.json)) == (400, {"error"})


def test_keys_have_their_own_batches(keyed: ASGIApp) -> None:
    new = {**NEW, "input_file_id": upload(keyed, "a")}
    theirs, mine = ({"authorization": f"Bearer {key}"} for key in "ba")
    content = str(new).replace("'", '"').encode()
    assert request(keyed, "POST", "/v1/batches", content, JSON | theirs).status == 404
    batch = request(keyed, "POST", "/v1/batches", content, JSON | mine).json
    for method, path in (("GET", ""), ("POST", "/cancel")):
        reply = request(keyed, method, f"/v1/batches/{batch['id']}{path}", headers=theirs)
        assert (reply.status, reply.json["error"]["param"]) == (404, "batch_id")
    assert request(keyed, "GET", "/v1/batches", headers=theirs).json["data"] == []
    assert request(keyed, "GET", f"/v1/batches/{batch['id']}", headers=mine).json == batch


def test_a_batch_that_does_not_go_on_says_why(make_service: MakeService, tmp_path: Path) -> None:
    service, app = make_service(batch_dir=tmp_path)
    batch = post(app, "/v1/batches", {**NEW, "input_file_id": upload(app)}).json
    assert batch["errors"] is None
    assert service.desk is not None
    service.desk.troubles[batch["id"]] = "the disk is full"
    [fault] = request(app, "GET", f"/v1/batches/{batch['id']}").json["errors"]["data"]
    assert fault["message"] == "the disk is full; it will be tried again"
