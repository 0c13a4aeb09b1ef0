"""Unread: bodies over HTTP/2 that the application answered without reading.

Hypercorn 0.18 queues ten chunks of a request for the application; if it answers without reading
them, all requests of the connection wait forever. HTTP/1.x is our own, and reads on.
"""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class DrainUnread:
    """An application whose unread bodies are read to their end once it answers."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._drains: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_read = scope["type"] != "http" or not _may_have_body(scope)

        async def watch_receive() -> Message:
            nonlocal is_read
            message = await receive()
            is_read = is_read or not message.get("more_body", False)
            return message

        async def drain_unread(message: Message) -> None:
            if message["type"] == "http.response.start" and not is_read:
                drain = asyncio.create_task(_drain(receive))
                self._drains.add(drain)
                drain.add_done_callback(self._drains.discard)
            await send(message)

        await self._app(scope, watch_receive, drain_unread)


def _may_have_body(scope: Scope) -> bool:
    return scope["method"] == "POST" or any(
        name == b"content-length" and value != b"0" for name, value in scope["headers"]
    )


async def _drain(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
