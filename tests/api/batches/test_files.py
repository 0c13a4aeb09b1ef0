"""Files: uploaded, listed, read and removed, byte for byte."""

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from openai.types import FileObject
from starlette.types import ASGIApp, Message

from app.api.http.service import Service
from app.api.http.transport import WHOLE_BYTES
from app.batches import desk as desk_module
from app.batches.folder import sync
from app.batches.store import Page
from tests.support.batches import form
from tools.asgi import make_scope, request
from tools.client import Reply

MakeService = Callable[..., tuple[Service, ASGIApp]]


def upload(app: ASGIApp, content: bytes | None, *, key: str = "", **fields: str) -> Reply:
    body, headers = form(content, {"purpose": "batch", **fields})
    return request(app, "POST", "/v1/files", body, headers | {"authorization": f"Bearer {key}"})


def error(reply: Reply) -> tuple[int, str, Any, Any]:
    found = reply.json["error"]
    assert set(found) == {"message", "type", "param", "code"}
    return reply.status, found["message"], found["param"], found["code"]


def test_a_file_comes_and_goes(keeping: ASGIApp, tmp_path: Path) -> None:
    content = bytes(range(256)) * 40 + b"\r\n--a1b\r\n"  # resembles the end of a part
    reply = upload(keeping, content)
    file = FileObject.model_validate(reply.json)
    assert (file.bytes, file.filename, file.purpose) == (len(content), "in.jsonl", "batch")
    assert file.expires_at == file.created_at + 30 * 86_400
    assert request(keeping, "GET", f"/v1/files/{file.id}").json == reply.json
    found = request(keeping, "GET", f"/v1/files/{file.id}/content")
    assert (found.status, found.content) == (200, content)
    assert found.headers["content-type"] == "application/octet-stream"
    assert found.headers["content-length"] == str(len(content))
    gone = request(keeping, "DELETE", f"/v1/files/{file.id}")
    assert gone.json == {"id": file.id, "object": "file", "deleted": True}
    for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/content")):
        missing = request(keeping, method, f"/v1/files/{file.id}{path}")
        assert error(missing) == (404, f"No such File object: {file.id}", "id", None)
    assert list((tmp_path / "kept" / "files").iterdir()) == []


@pytest.mark.parametrize("size", [0, 1, WHOLE_BYTES, WHOLE_BYTES + 1, 3 * WHOLE_BYTES + 7])
def test_a_file_of_any_size_comes_back(keeping: ASGIApp, tmp_path: Path, size: int) -> None:
    file = upload(keeping, b"x").json
    content = bytes(number % 251 for number in range(size))
    (tmp_path / "kept" / "files" / file["id"]).write_bytes(content)  # past the limit of an upload
    found = request(keeping, "GET", f"/v1/files/{file['id']}/content")
    assert found.content == content


def test_a_file_stays_if_its_upload_is_cancelled_while_it_is_added(
    make_service: MakeService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service, app = make_service(batch_dir=tmp_path / "kept")
    desk = service.desk
    assert desk is not None
    begins, goes_on = threading.Event(), threading.Event()

    def slowly(path: Path) -> None:
        begins.set()
        assert goes_on.wait(60)
        sync(path)

    monkeypatch.setattr(desk_module, "sync", slowly)
    body, headers = form(b"12345")

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        raise AssertionError(message)

    async def ask() -> None:
        async def upload() -> None:
            await app(make_scope("POST", "/v1/files", headers), receive, send)

        uploading = asyncio.create_task(upload())
        assert await asyncio.to_thread(begins.wait, 60)
        uploading.cancel()
        await asyncio.wait({uploading})
        goes_on.set()
        [file] = await desk.files("", Page(9), None)
        assert desk.folder.place(file.id).read_bytes() == b"12345"

    asyncio.run(ask())


def test_files_are_listed_in_pages(keeping: ASGIApp) -> None:
    ids = [upload(keeping, b"x").json["id"] for _ in range(5)]
    whole = request(keeping, "GET", "/v1/files").json
    assert [one["id"] for one in whole["data"]] == ids[::-1]
    assert (whole["object"], whole["has_more"]) == ("list", False)
    page = request(keeping, "GET", "/v1/files?limit=2&order=asc").json
    assert ([one["id"] for one in page["data"]], page["has_more"]) == (ids[:2], True)
    assert (page["first_id"], page["last_id"]) == (ids[0], ids[1])
    page = request(keeping, "GET", f"/v1/files?limit=3&order=asc&after={ids[1]}&purpose=batch").json
    assert ([one["id"] for one in page["data"]], page["has_more"]) == (ids[2:], False)
    assert request(keeping, "GET", "/v1/files?purpose=batch_output").json["data"] == []


@pytest.mark.parametrize(
    ("query", "param"),
    [("limit=0", "limit"), ("limit=10001", "limit"), ("limit=x", "limit"), ("limit=", "limit"), ("order=up", "order"), ("after=file-1", "after")],
)  # fmt: skip
def test_invalid_pages_are_refused(keeping: ASGIApp, query: str, param: str) -> None:
    reply = request(keeping, "GET", f"/v1/files?{query}")
    assert (reply.status, reply.json["error"]["param"]) == (400, param)


@pytest.mark.parametrize(
    ("fields", "param", "code"),
    [
        ({"purpose": "fine-tune"}, "purpose", "invalid_value"),
        ({"expires_after[anchor]": "created_at"}, "expires_after", None),
        ({"expires_after[anchor]": "created_at", "expires_after[seconds]": "3599"}, "expires_after", None),
        ({"expires_after[anchor]": "now", "expires_after[seconds]": "3600"}, "expires_after", None),
    ],
)  # fmt: skip
def test_invalid_fields_are_refused(
    keeping: ASGIApp, tmp_path: Path, fields: dict[str, str], param: str, code: str | None
) -> None:
    reply = upload(keeping, b"x", **fields)
    assert error(reply)[::2] == (400, param)
    assert error(reply)[3] == code
    assert list((tmp_path / "kept" / "files").iterdir()) == []


def test_a_file_is_kept_as_long_as_is_asked_for(keeping: ASGIApp) -> None:
    fields = {"expires_after[anchor]": "created_at", "expires_after[seconds]": "7200"}
    file = upload(keeping, b"x", **fields).json
    assert file["expires_at"] == file["created_at"] + 7200


def test_missing_fields_of_a_form_are_named(keeping: ASGIApp) -> None:
    assert error(upload(keeping, None)) == (
        400, "Missing required parameter: 'file'.", "file", "missing_required_parameter"
    )  # fmt: skip
    body, headers = form(b"x", {})
    reply = request(keeping, "POST", "/v1/files", body, headers)
    assert error(reply)[2:] == ("purpose", "missing_required_parameter")


def test_keys_keep_their_own_files(keyed: ASGIApp) -> None:
    file = upload(keyed, b"x", key="a").json
    for path in (f"/v1/files/{file['id']}", f"/v1/files/{file['id']}/content"):
        for key, status in (("a", 200), ("b", 404), ("", 401)):
            headers = {"authorization": f"Bearer {key}"}
            assert request(keyed, "GET", path, headers=headers).status == status
    theirs = request(keyed, "GET", "/v1/files", headers={"authorization": "Bearer b"})
    assert theirs.json["data"] == []
    gone = request(
        keyed, "DELETE", f"/v1/files/{file['id']}", headers={"authorization": "Bearer b"}
    )
    assert gone.status == 404
