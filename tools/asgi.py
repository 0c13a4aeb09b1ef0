"""Bytes in, bytes out through an ASGI app, without a server in between."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import unquote

from starlette.types import ASGIApp, Message, Scope

from tools.client import JSON, Reply


def make_scope(method: str, path: str, headers: Mapping[str, str]) -> Scope:
    """An HTTP/1.1 request as Hypercorn presents it."""
    path, _, query = path.partition("?")
    raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.1"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": raw,
        "first_headers": dict(raw),  # as our middleware adds them
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
    }


async def send_request(
    app: ASGIApp, scope: Scope, chunks: Sequence[bytes], gone: asyncio.Event | None = None
) -> Reply:
    """Run one request; the client goes away when `gone` is set, or when it has its answer."""
    waiting = [
        *({"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks),
        {"type": "http.request", "body": b"", "more_body": False},
    ]
    gone = gone or asyncio.Event()
    sent: list[Message] = []

    async def receive() -> Message:
        if waiting:
            return waiting.pop(0)
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)
        if message["type"] == "http.response.body" and not message.get("more_body", False):
            gone.set()

    await app(scope, receive, send)
    nothing: Message = {"status": 0, "headers": []}
    start = sent[0] if sent else nothing
    return Reply(
        status=start["status"],
        headers={name.decode(): value.decode() for name, value in start["headers"]},
        content=b"".join(message.get("body", b"") for message in sent[1:]),
    )


def request(
    app: ASGIApp,
    method: str,
    path: str,
    content: bytes | Sequence[bytes] = b"",
    headers: Mapping[str, str] | None = None,
) -> Reply:
    """One request on an event loop of its own; bytes or chunks as they would come."""
    chunks = [content] if isinstance(content, bytes) else content
    scope = make_scope(method, path, JSON if headers is None else headers)
    return asyncio.run(send_request(app, scope, [chunk for chunk in chunks if chunk]))


def post(app: ASGIApp, path: str, body: Any) -> Reply:
    """POST a JSON body."""
    return request(app, "POST", path, json.dumps(body).encode())
