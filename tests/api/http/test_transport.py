"""A large answer is sent in parts, with the same bytes as in one, while other tasks run."""

import asyncio
import json
import threading
from base64 import b64decode
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import orjson
import pytest
from starlette.types import ASGIApp, Message

from app.api.body import reader
from app.api.http.service import Service
from app.api.http.transport import (
    MOMENT_BYTES,
    WHOLE_BYTES,
    beginning,
    in_turn,
    of_a_moment,
    respond_in_parts,
)
from app.api.verbs.rendering import GROUP_NUMBERS, groups, joined, numpy_json
from tests.api.conftest import MakeKind
from tools.asgi import make_scope, post, request, send_request
from tools.client import JSON

PART = b"x" * (WHOLE_BYTES // 2)


async def sent_for(parts: Iterator[bytes], leaves_after: int | None = None) -> list[Message]:
    """Return what is sent to a client, which may leave after a number of messages."""
    sent: list[Message] = []
    gone = asyncio.Event()

    async def receive() -> Message:
        await gone.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)
        if len(sent) == leaves_after:
            gone.set()

    rest = in_turn(parts)
    first, more = await beginning(rest), [(b"x-more", b"1")]
    await respond_in_parts(receive, send, first, rest, b"text/x-any", more)
    return sent


def test_up_to_a_bound_an_answer_is_sent_whole_with_its_length() -> None:
    start, body = asyncio.run(sent_for(iter([b"[1", b",2]"])))
    assert (b"content-type", b"text/x-any") in start["headers"]
    assert (b"content-length", b"5") in start["headers"]
    assert (b"x-more", b"1") in start["headers"]
    assert body == {"type": "http.response.body", "body": b"[1,2]"}


def test_beyond_it_an_answer_is_sent_as_it_is_rendered() -> None:
    start, *bodies = asyncio.run(sent_for(iter([PART] * 6)))
    assert start["headers"] == [(b"content-type", b"text/x-any"), (b"x-more", b"1")]
    assert b"".join(message["body"] for message in bodies) == PART * 6
    assert [message.get("more_body", False) for message in bodies] == [True] * 4 + [False]


def test_nothing_is_rendered_for_a_client_that_left() -> None:
    rendered = 0

    def parts() -> Iterator[bytes]:
        nonlocal rendered
        while rendered < 1000:
            rendered += 1
            yield PART

    sent = asyncio.run(sent_for(parts(), leaves_after=3))
    assert rendered < 10
    assert sent[-1]["more_body"]


def test_a_moment_ends_with_the_answer_or_with_the_part_that_is_over_it() -> None:
    parts = iter([b"[", b"a" * (MOMENT_BYTES - 2), b"]"])
    assert len(of_a_moment(parts)) == MOMENT_BYTES
    parts = iter([b"[", b"a" * MOMENT_BYTES, b"b", b"]"])
    assert len(of_a_moment(parts)) == MOMENT_BYTES + 1
    assert list(parts) == [b"b", b"]"]


def test_others_have_their_turns_between_two_parts() -> None:
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    def parts() -> Iterator[bytes]:
        yield PART * 3
        for _ in range(5):
            seen = turns
            yield PART
            assert turns > seen

    async def both() -> None:
        task = asyncio.create_task(other())
        await sent_for(parts())
        task.cancel()

    asyncio.run(both())
    assert turns >= 5


@pytest.mark.parametrize("rows", [1, 2, 3, 7])
def test_groups_together_are_the_whole(rows: int) -> None:
    width = GROUP_NUMBERS // 2
    vectors = np.arange(rows * width, dtype=np.float32).reshape(rows, width)
    parts = [numpy_json(group) for group in groups(vectors)]
    assert len(parts) == (rows + 1) // 2
    assert b"".join(joined(parts)) == numpy_json(vectors)


def test_no_arrays_make_an_empty_one() -> None:
    assert b"".join(joined([])) == b"[]"


LIMITS: dict[str, Any] = {
    "max_client_batch_size": 6000,
    "max_concurrent_requests": 6000,
    "payload_limit": 10_000_000,
}
TEXTS = [f"{'the cat sat on ' * 5}{'a b c d'[: 1 + 2 * (place % 4)]}" for place in range(6000)]


def test_six_thousand_texts_are_as_six_thousand_requests(make_kind: MakeKind) -> None:
    app = make_kind("embedding", **LIMITS)
    alone = [post(app, "/embed", {"inputs": text}).json[0] for text in TEXTS[:4]]
    answer = post(app, "/embed", {"inputs": TEXTS})
    assert "content-length" not in answer.headers
    np.testing.assert_allclose(answer.json, alone * 1500, atol=1e-6)


def test_they_come_back_in_openais_dialect_too(make_kind: MakeKind) -> None:
    app = make_kind("embedding", **LIMITS)
    plain, packed = (
        post(app, "/v1/embeddings", {"input": TEXTS, "encoding_format": form}).json
        for form in ("float", "base64")
    )
    assert [one["index"] for one in packed["data"]] == list(range(6000))
    assert list(packed) == ["object", "data", "model", "usage"]
    assert plain["usage"] == packed["usage"]
    vectors = [np.frombuffer(b64decode(one["embedding"]), "<f4") for one in packed["data"]]
    np.testing.assert_allclose(
        [one["embedding"] for one in plain["data"]], np.stack(vectors), atol=1e-6
    )


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b'{"inputs":[' + b'"a",' * 50_000 + b"1.5]}", 422),
        (b'{"inputs":[' + b'"a",' * 50_000 + b"]}", 400),
    ],
)
def test_a_large_body_has_the_errors_of_a_small_one(
    make_kind: MakeKind, content: bytes, status: int
) -> None:
    app = make_kind("embedding")
    small = content.replace(b'"a",' * 50_000, b'"a",')
    answers = [request(app, "POST", "/embed", one) for one in (content, small)]
    assert [answer.status for answer in answers] == [status, status]
    words = [json.dumps(answer.text).split(" at line")[0] for answer in answers]
    assert words[0] == words[1]


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("/embed", b'{"inputs":"%b"}'),
        ("/tokenize", b'{"inputs":"%b"}'),
        ("/decode", b'{"ids":[4],"unknown":"%b"}'),
        ("/vertex", b'{"instances":[{"inputs":"%b"}]}'),
    ],
)
def test_other_tasks_run_while_a_large_body_is_read(
    make_kind: MakeKind, monkeypatch: pytest.MonkeyPatch, path: str, content: bytes
) -> None:
    app = make_kind("embedding")
    begun, go_on = threading.Event(), threading.Event()
    real_loads = orjson.loads

    def loads(content: bytes) -> Any:
        begun.set()
        assert go_on.wait(10), "no other task had a turn"
        return real_loads(content)

    monkeypatch.setattr(orjson, "loads", loads)
    large = content % (b"a" * reader.LARGE_BYTES)

    async def scenario() -> int:
        answer = asyncio.create_task(send_request(app, make_scope("POST", path, JSON), [large]))
        assert await asyncio.to_thread(begun.wait, 10)
        go_on.set()
        return (await answer).status

    assert asyncio.run(scenario()) in {200, 422}


def test_a_client_that_leaves_within_its_answer_frees_what_it_held(
    make_service: Callable[..., tuple[Service, ASGIApp]],
) -> None:
    service, app = make_service(**LIMITS)
    content = json.dumps({"inputs": TEXTS}).encode()
    sent: list[Message] = []

    async def scenario() -> None:
        whole, gone = [{"type": "http.request", "body": content}], asyncio.Event()

        async def receive() -> Message:
            if whole:
                return whole.pop()
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Message) -> None:
            sent.append(message)
            gone.set()

        await app(make_scope("POST", "/embed_all", JSON), receive, send)
        assert service.bodies.free == service.bodies.total
        assert (
            service.model.engine.admission.permits.free
            == service.model.engine.admission.permits.total
        )

    asyncio.run(scenario())
    assert sent[0]["status"] == 200
    assert all(message["more_body"] for message in sent[1:])


def test_a_large_body_whose_client_has_gone_is_not_read(
    make_kind: MakeKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = make_kind("embedding")
    begun, go_on = threading.Semaphore(0), threading.Event()
    loads, read = orjson.loads, 0

    def slow_loads(content: bytes) -> Any:
        nonlocal read
        read += 1
        begun.release()
        assert go_on.wait(10)
        return loads(content)

    monkeypatch.setattr(orjson, "loads", slow_loads)
    large = b'{"inputs":"%b"}' % (b"a" * reader.LARGE_BYTES)

    async def scenario() -> list[int]:
        def ask(gone: asyncio.Event | None = None) -> asyncio.Task[Any]:
            return asyncio.create_task(
                send_request(app, make_scope("POST", "/embed", JSON), [large], gone)
            )

        busy = [ask(), ask()]  # the limit on bodies read at a time
        for _ in busy:
            await asyncio.to_thread(begun.acquire)
        gone = asyncio.Event()
        late = ask(gone)
        gone.set()
        statuses = [(await late).status]
        go_on.set()
        return [*statuses, *[(await one).status for one in busy]]

    assert asyncio.run(scenario()) == [0, 200, 200]
    assert read == 2
