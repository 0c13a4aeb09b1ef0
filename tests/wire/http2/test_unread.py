"""An application that answers without reading the body, on top of Hypercorn 0.18."""

import asyncio

from starlette.types import Message, Receive, Scope, Send

from app.wire.http2.unread import DrainUnread
from tools.asgi import make_scope


async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers without reading the body."""
    del scope, receive
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"early"})


app = DrainUnread(refuse)


def test_an_early_answer_over_http2_reads_the_rest() -> None:
    async def scenario() -> tuple[list[Message], int]:
        queue: asyncio.Queue[Message] = asyncio.Queue(maxsize=10)  # as Hypercorn's
        sent: list[Message] = []

        async def upload() -> None:
            for _ in range(100):
                await queue.put({"type": "http.request", "body": b"x" * 1000, "more_body": True})
            await queue.put({"type": "http.disconnect"})

        async def send(message: Message) -> None:
            sent.append(message)

        headers = {"content-length": "100000"}
        scope = {**make_scope("POST", "/embed", headers), "http_version": "2"}
        await app(scope, queue.get, send)
        async with asyncio.timeout(5):
            await upload()  # blocks if the body is not read
        await asyncio.sleep(0)
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for _ in range(10):
            await asyncio.sleep(0)
        return sent, len(asyncio.all_tasks() - {asyncio.current_task()}) if others else 0

    sent, tasks = asyncio.run(scenario())
    assert sent[0]["status"] == 200
    assert tasks == 0
