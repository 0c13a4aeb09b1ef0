"""Uploads: forms in pieces of any size, with limits on size and on slowness."""

import asyncio
import errno
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import pytest
from starlette.types import ASGIApp, Message

from app.api.batches import uploads
from app.api.batches.uploads import (
    BUFFER_BYTES,
    OVERHEAD_BYTES,
    Upload,
    UploadLimits,
    received,
)
from app.batches.objects import BatchError
from app.errors import BodyTimeout, ClientGone
from tests.support.batches import form
from tools.asgi import make_scope, request

LIMITS = UploadLimits(3 * BUFFER_BYTES, 60.0)


def take(
    path: Path, chunks: Sequence[bytes], headers: dict[str, str], limits: UploadLimits = LIMITS
) -> Upload:
    left = [
        *({"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks),
        {"type": "http.request", "body": b"", "more_body": False},
    ]

    async def receive() -> Message:
        return left.pop(0)

    return asyncio.run(received(make_scope("POST", "/", headers), receive, path, limits))


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_pieces_of_any_size_make_the_same_file(tmp_path: Path, size: int) -> None:
    content = b"line\r\n--a1b2x\r\n\r\n--\n" * 50
    body, headers = form(content, {"purpose": "batch", "a": "b"}, "größe.jsonl")
    chunks = [body[start : start + size] for start in range(0, len(body), size)]
    upload = take(tmp_path / "file", chunks, headers)
    assert upload == Upload({"purpose": "batch", "a": "b"}, "größe.jsonl", len(content))
    assert (tmp_path / "file").read_bytes() == content


def test_fields_may_come_behind_the_file(tmp_path: Path) -> None:
    body, headers = form(b"x", {})
    field = b'--a1b2\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n--a1b2--\r\n'
    upload = take(tmp_path / "file", [body.removesuffix(b"--a1b2--\r\n"), field], headers)
    assert upload.fields == {"purpose": "batch"}


def test_a_large_file_goes_to_the_disk_while_it_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[int] = []
    flushed = uploads.flushed

    def noting(file: BinaryIO, content: bytearray) -> None:
        written.append(len(content))
        flushed(file, content)

    monkeypatch.setattr(uploads, "flushed", noting)
    body, headers = form(b"x" * (2 * BUFFER_BYTES + 5))
    chunks = [body[start : start + 65536] for start in range(0, len(body), 65536)]
    assert take(tmp_path / "file", chunks, headers).bytes == 2 * BUFFER_BYTES + 5
    assert len(written) > 1
    assert max(written) <= BUFFER_BYTES + 65536


@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        (b"{}", "application/json", "must be multipart/form-data"),
        (b"", "multipart/form-data", "must be multipart/form-data"),
        (b"", f"multipart/form-data; boundary={'x' * 1000}", "cannot be read"),
        (b"", "multipart/form-data; boundary=a1b2", "breaks off"),
        (b"nonsense", "multipart/form-data; boundary=a1b2", "cannot be read"),
        (form(b"x")[0][:-9], "multipart/form-data; boundary=a1b2", "breaks off"),
        (form(b"x", {"purpose": "p" * 2000})[0], "multipart/form-data; boundary=a1b2", "a field"),
        (form(b"x", {str(n): "" for n in range(20)})[0], "multipart/form-data; boundary=a1b2", "fields"),
        (form(b"x")[0][:-10] + form(b"y", {})[0], "multipart/form-data; boundary=a1b2", "two files"),
    ],
)  # fmt: skip
def test_a_form_that_cannot_be_read_is_refused(
    tmp_path: Path, body: bytes, kind: str, words: str
) -> None:
    with pytest.raises(BatchError, match=f"(?i){words}") as caught:
        take(tmp_path / "file", [body] if body else [], {"content-type": kind})
    assert caught.value.status == 400
    assert not (tmp_path / "file").exists()


def test_a_file_that_is_too_large_ends_at_once(tmp_path: Path) -> None:
    body, headers = form(b"x" * 5000)
    small = UploadLimits(4999, 60.0)
    with pytest.raises(BatchError, match="more than 4999 bytes; --batch-file-limit") as caught:
        take(tmp_path / "file", [body], headers, small)
    assert caught.value.status == 413
    declared = headers | {"content-length": str(BUFFER_BYTES + 5000)}
    with pytest.raises(BatchError, match="more than 4999 bytes"):
        take(tmp_path / "file", [], declared, small)  # before any of it arrives
    assert take(tmp_path / "file", [body], headers, UploadLimits(5000, 60.0)).bytes == 5000


def test_fields_around_a_file_are_bounded(tmp_path: Path) -> None:
    body, headers = form(b"x" * 100)
    small = UploadLimits(100, 60.0)
    whole = [body, b"z" * (OVERHEAD_BYTES + 100 - len(body))]
    assert take(tmp_path / "file", whole, headers, small).bytes == 100
    with pytest.raises(BatchError, match="more than 100 bytes") as caught:
        take(tmp_path / "file", [*whole, b"z"], headers, small)
    assert caught.value.status == 413
    assert not (tmp_path / "file").exists()


def test_a_fast_start_does_not_excuse_a_stall(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "SILENCE_SECONDS", 0.05)
    body, headers = form(b"x" * BUFFER_BYTES)
    came = [body[:-20]]

    async def receive() -> Message:
        if came:
            return {"type": "http.request", "body": came.pop(), "more_body": True}
        await asyncio.Event().wait()
        raise AssertionError

    scope = make_scope("POST", "/", headers)
    with pytest.raises(BodyTimeout):
        asyncio.run(received(scope, receive, tmp_path / "file", LIMITS))
    assert not (tmp_path / "file").exists()


def test_a_client_that_is_too_slow_or_gone_leaves_nothing(tmp_path: Path) -> None:
    body, headers = form(b"x")

    async def upload(*, gone: bool) -> None:
        came = [{"type": "http.request", "body": body[:20], "more_body": True}]

        async def receive() -> Message:
            if came:
                return came.pop()
            if gone:
                return {"type": "http.disconnect"}
            await asyncio.Event().wait()
            raise AssertionError

        scope = make_scope("POST", "/", headers)
        await received(scope, receive, tmp_path / "file", UploadLimits(100, 0.05))

    with pytest.raises(BodyTimeout):
        asyncio.run(upload(gone=False))
    with pytest.raises(ClientGone):
        asyncio.run(upload(gone=True))
    assert not (tmp_path / "file").exists()


def test_a_full_disk_is_reported(
    keeping: ASGIApp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(uploads, "flushed", full)
    body, headers = form(b"x")
    reply = request(keeping, "POST", "/v1/files", body, headers)
    assert (reply.status, reply.json["error"]["type"]) == (507, "server_error")
    message = "The batch folder cannot be used: No space left on device"
    assert reply.json["error"]["message"] == message
    assert list((tmp_path / "kept" / "files").iterdir()) == []
