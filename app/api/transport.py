"""Transport: reading a request from ASGI, and answering it, without objects on the way."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.types import Receive, Scope, Send

from app.errors import ClientGone, PayloadTooLarge, UnsupportedMediaType

T = TypeVar("T")
RawHeaders = list[tuple[bytes, bytes]]

JSON = b"application/json"
TEXT = b"text/plain; charset=utf-8"


def header(scope: Scope, name: bytes) -> bytes | None:
    """The first header of that (lower-case) name."""
    return next((value for key, value in scope["headers"] if key == name), None)


async def read_json_body(scope: Scope, receive: Receive, limit: int) -> bytes:
    """The whole body of a request that declares JSON.

    Raises: UnsupportedMediaType; PayloadTooLarge as soon as more than `limit` bytes are declared
    or have come; ClientGone.
    """
    if not _is_json(header(scope, b"content-type")):
        raise UnsupportedMediaType
    declared = header(scope, b"content-length")
    if declared is not None and declared.isdigit() and int(declared) > limit:
        raise PayloadTooLarge
    parts: list[bytes] = []
    size = 0
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGone
        part = message.get("body", b"")
        size += len(part)
        if size > limit:
            raise PayloadTooLarge
        parts.append(part)
        more = message.get("more_body", False)
    return b"".join(parts)


async def unless_gone(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, which is cancelled when the client goes away; the body must be read.

    Raises: ClientGone, and whatever `work` raises.
    """
    task = asyncio.current_task()
    assert task is not None
    watcher = asyncio.create_task(_cancel_when_gone(receive, task))
    try:
        return await work
    except asyncio.CancelledError:
        if watcher.done() and not watcher.cancelled():
            task.uncancel()
            raise ClientGone from None
        raise
    finally:
        watcher.cancel()


async def respond(
    send: Send, status: int, content: bytes, media_type: bytes | None, headers: RawHeaders
) -> None:
    """Send a whole answer; `headers` are added to the two that describe the content."""
    start: RawHeaders = [(b"content-length", b"%d" % len(content)), *headers]
    if media_type is not None:
        start.insert(0, (b"content-type", media_type))
    await send({"type": "http.response.start", "status": status, "headers": start})
    await send({"type": "http.response.body", "body": content})


async def _cancel_when_gone(receive: Receive, task: "asyncio.Task[Any]") -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    task.cancel()


def _is_json(content_type: bytes | None) -> bool:
    essence = (content_type or b"").split(b";", 1)[0].strip().lower()
    return essence == JSON or (essence.startswith(b"application/") and essence.endswith(b"+json"))
