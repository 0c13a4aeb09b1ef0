"""Files: `/v1/files`, what batches read and what they have written."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any, BinaryIO

from starlette.types import Receive, Scope, Send

from app.api.batches.endpoint import ERRORS, Asked, listed, one_more, respond_error
from app.api.batches.uploads import BUFFER_BYTES, UploadLimits, received
from app.api.batches.values import expiry
from app.api.http.service import Service
from app.api.http.transport import WHOLE_BYTES, respond_in_parts
from app.batches.desk import NewFile
from app.batches.objects import INPUT_PURPOSE, BatchError
from app.errors import ClientGone
from app.options.settings import Settings

KEPT_SECONDS = 30 * 24 * 3600  # a batch's input, as OpenAI's reference has it
MOST = 10_000  # files of one page, of which a page has that many unless it asks for fewer
OCTETS = b"application/octet-stream"


class Uploading:
    """POST `/v1/files`."""

    def __init__(self, settings: Settings) -> None:
        self._limits = UploadLimits(settings.batch_file_limit, settings.client_timeout_seconds)

    async def __call__(self, asked: Asked) -> dict[str, Any]:
        path = asked.desk.new_place()
        with asked.service.bodies.holding() as share:
            share.take(2 * BUFFER_BYTES)  # it may be written while the next is coming
            upload = await received(asked.scope, asked.receive, path, self._limits)
        with contextlib.ExitStack() as unless_fit:
            unless_fit.callback(path.unlink, missing_ok=True)
            _require_purpose(upload.fields.get("purpose"))
            kept = expiry(_nested(upload.fields, "expires_after"), "expires_after")
            seconds = KEPT_SECONDS if kept is None else kept
            unless_fit.pop_all()
        new = NewFile(path, asked.owner, upload.filename, upload.bytes, seconds)
        return (await asked.desk.add_file(new)).shown()


async def listing(asked: Asked) -> dict[str, Any]:
    """GET `/v1/files`."""
    page = asked.page(MOST, MOST)
    found = await asked.desk.files(asked.owner, one_more(page), asked.given("purpose"))
    return listed([one.shown() for one in found], page)


async def described(asked: Asked) -> dict[str, Any]:
    """GET `/v1/files/{id}`."""
    return (await asked.desk.file(asked.id, asked.owner)).shown()


async def removed(asked: Asked) -> dict[str, Any]:
    """DELETE `/v1/files/{id}`."""
    await asked.desk.remove_file(asked.id, asked.owner)
    return {"id": asked.id, "object": "file", "deleted": True}


class Content:
    """GET `/v1/files/{id}/content`."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        asked = Asked(self._service, scope, receive)
        async with contextlib.AsyncExitStack() as opened:
            try:
                file = await asked.desk.file(asked.id, asked.owner)
                content = await asyncio.to_thread(_opened, asked.desk.folder.place(file.id))
                opened.enter_context(content)
                parts = await opened.enter_async_context(contextlib.aclosing(_parts(content)))
                first = await anext(parts, b"")
            except ERRORS as error:
                await respond_error(send, error)
                return
            is_whole = file.bytes <= WHOLE_BYTES
            length = [] if is_whole else [(b"content-length", b"%d" % file.bytes)]
            with contextlib.suppress(ClientGone):
                await respond_in_parts(receive, send, first, parts, OCTETS, length)


def _opened(path: Path) -> BinaryIO:
    return path.open("rb")


async def _parts(content: BinaryIO) -> AsyncGenerator[bytes, None]:
    """Yield a file; all of it at once if that is no more than WHOLE_BYTES."""
    while part := await asyncio.to_thread(content.read, WHOLE_BYTES + 1):
        yield part


def _require_purpose(purpose: str | None) -> None:
    if purpose is None:
        message = "Missing required parameter: 'purpose'."
        raise BatchError(400, message, param="purpose", code="missing_required_parameter")
    if purpose != INPUT_PURPOSE:
        message = f"Invalid value: '{purpose[:64]}'. Supported values are: '{INPUT_PURPOSE}'."
        raise BatchError(400, message, param="purpose", code="invalid_value")


def _nested(fields: dict[str, str], name: str) -> dict[str, Any] | None:
    """Return the object that a form spells as `name[key]`, or None."""
    found: dict[str, Any] = {
        key.removeprefix(f"{name}[").removesuffix("]"): int(value) if value.isdecimal() else value
        for key, value in fields.items()
        if key.startswith(f"{name}[")
    }
    return found or None
