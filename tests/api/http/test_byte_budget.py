"""The byte budget: the shares of requests for their bodies and their answers."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from starlette.types import ASGIApp, Message

from app.api.http.byte_budget import SMALL_BYTES, Bodies, BodyLimits, Share
from app.api.http.service import Service
from app.api.http.transport import WHOLE_BYTES
from app.errors import BodyTimeout, Overloaded
from tests.api.conftest import MakeKind
from tools.asgi import make_scope, post
from tools.client import JSON

MakeService = Callable[..., tuple[Service, ASGIApp]]

TOTAL = 64_000_000
LIMITS: dict[str, Any] = {"max_client_batch_size": 6000, "max_concurrent_requests": 6000}
TEXTS = [f"the cat sat on the mat {'a b c d e f' * (place % 3)}" for place in range(4000)]


@pytest.fixture
def bodies() -> Bodies:
    return Bodies(BodyLimits(bytes_each=2_000_000, bytes_together=TOTAL, seconds=1))


def reserving(bodies: Bodies, size: int) -> list[Share]:
    """Reserve answers of a size until there is no room; return their shares."""
    found: list[Share] = []
    with contextlib.suppress(Overloaded):
        while len(found) < 1000:
            share = bodies.holding().__enter__()
            share.reserve(size)
            found.append(share)
    return found


def test_answers_leave_a_quarter_to_bodies(bodies: Bodies) -> None:
    assert len(reserving(bodies, 10_000_000)) == 4
    assert len(reserving(bodies, SMALL_BYTES + 1)) == (TOTAL * 3 // 4 - 40_000_000) // SMALL_BYTES
    assert bodies.free >= TOTAL // 4
    with bodies.holding() as share:
        share.take(2_000_000)
    with bodies.holding() as share, pytest.raises(Overloaded):
        share.reserve(SMALL_BYTES + 1)


def test_a_small_answer_is_not_refused_but_the_next_body_is(bodies: Bodies) -> None:
    with bodies.holding() as full, bodies.holding() as share, bodies.holding() as third:
        full.take(TOTAL - 100)
        share.take(100)
        share.reserve(SMALL_BYTES)
        assert bodies.free == -SMALL_BYTES
        with pytest.raises(Overloaded):
            third.take(1)
    assert bodies.free == TOTAL


def test_an_answer_that_is_larger_than_all_bytes_holds_half_of_them(bodies: Bodies) -> None:
    with bodies.holding() as share:
        share.take(1_000_000)
        share.reserve(10 * TOTAL)
        assert bodies.free == (TOTAL - 1_000_000) // 2
        with bodies.holding() as second, pytest.raises(Overloaded):
            second.reserve(10 * TOTAL)
    assert bodies.free == TOTAL


def test_kept_bytes_are_given_back_at_the_end(bodies: Bodies) -> None:
    with bodies.holding() as share:
        share.take(1_000_000)
        share.reserve(10)
        share.keep(300)
        assert (share.held, bodies.free) == (300, TOTAL - 300)
    assert bodies.free == TOTAL


@contextlib.asynccontextmanager
async def unread(app: ASGIApp, path: str, content: bytes) -> AsyncIterator[Message]:
    """Yield the first message of an answer whose client reads no more until the block ends."""
    first: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
    done = asyncio.Event()
    whole = [{"type": "http.request", "body": content}]

    async def receive() -> Message:
        if whole:
            return whole.pop()
        await done.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        if first.done():
            await done.wait()
        else:
            first.set_result(message)

    running = app(make_scope("POST", path, JSON), receive, send)
    task = asyncio.ensure_future(running)
    try:
        yield await first
    finally:
        done.set()
        await task


@pytest.mark.parametrize(
    ("path", "texts", "vectors"),
    [
        ("/embed", 1, 1),
        ("/embed", 4000, 4000),
        ("/embed_all", 300, 300 * 9),
    ],
)
def test_a_slow_reader_holds_the_answer_and_not_the_request(
    make_service: MakeService, path: str, texts: int, vectors: int
) -> None:
    service, app = make_service(**LIMITS)
    content = json.dumps({"inputs": TEXTS[:texts]}).encode().ljust(900_000)

    async def scenario() -> None:
        async with unread(app, path, content) as start:
            assert start["status"] == 200
            held = service.bodies.total - service.bodies.free
            if texts == 1:
                length = dict(start["headers"])[b"content-length"]
                assert held == int(length)
            else:  # the rest to be rendered, and the beginning
                rows = service.model.manifest.dimensions * 4 * vectors
                assert rows + WHOLE_BYTES < held < 3 * rows + 2 * WHOLE_BYTES
        assert service.bodies.free == service.bodies.total

    asyncio.run(scenario())


def batches(service: Service) -> list[str]:
    """Return the number of batches and their sizes."""
    lines = service.metrics.render().splitlines()
    return [line for line in lines if line.startswith("te_batch_next_size")]


def test_vectors_for_which_there_is_no_room_are_not_computed(make_service: MakeService) -> None:
    service, app = make_service(**LIMITS)
    free = service.bodies.free
    with service.bodies.holding() as share:
        share.take(free - TOTAL // 4)
        before = batches(service)
        assert post(app, "/embed_all", {"inputs": TEXTS}).status == 429
        assert batches(service) == before
        assert post(app, "/embed_all", {"inputs": TEXTS[:10]}).status == 200
        assert post(app, "/vertex", {"instances": [{"inputs": TEXTS[:10]}]}).status == 200
    assert service.bodies.free == free
    assert (
        service.model.engine.admission.permits.free == service.model.engine.admission.permits.total
    )


def test_an_answer_is_the_same_in_any_number_of_parts(
    make_kind: MakeKind, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = [
        ("embedding", "/embed_all", {"inputs": TEXTS[:3]}),
        ("splade", "/embed_sparse", {"inputs": TEXTS[:3]}),
        ("whole", "/embed", {"inputs": TEXTS[:3], "output_types": ["sparse", "multi_vector"]}),
        ("classifier", "/predict", {"inputs": [[text] for text in TEXTS[:3]]}),
    ]
    for kind, path, body in asked:
        app = make_kind(kind)
        with monkeypatch.context() as patch:
            whole = post(app, path, body)
            patch.setattr("app.api.verbs.rendering.GROUP_NUMBERS", 1)
            patch.setattr("app.api.verbs.kinds.rendering.ENTRIES_AT_ONCE", 1)
            patch.setattr("app.api.verbs.kinds.rendering.PART_BYTES", 1)
            patch.setattr("app.api.verbs.tei_score.SCORES_AT_ONCE", 1)
            parted = post(app, path, body)
        assert whole.status == 200
        assert parted.text == whole.text


@pytest.mark.parametrize("is_whole", [True, False])
def test_only_a_body_that_still_comes_has_a_timer(is_whole: bool) -> None:
    bodies = Bodies(BodyLimits(bytes_each=9, bytes_together=9, seconds=0))
    scope = {**make_scope("POST", "/embed", JSON), "is_whole": is_whole}

    async def receive() -> Message:
        await asyncio.sleep(0)  # by then a timer has gone off
        return {"type": "http.request", "body": b"{}"}

    async def read() -> bytes:
        with bodies.holding() as share:
            return await bodies.read_json(scope, receive, share)

    if is_whole:
        assert asyncio.run(read()) == b"{}"
    else:
        with pytest.raises(BodyTimeout):
            asyncio.run(read())


def test_what_gathers_leaves_a_quarter_however_small_its_parts(bodies: Bodies) -> None:
    with bodies.holding() as share:
        while bodies.free >= TOTAL // 4 + SMALL_BYTES:
            share.gather(SMALL_BYTES)
        with pytest.raises(Overloaded):
            share.gather(SMALL_BYTES)
    assert bodies.free == bodies.total


def test_a_reservation_is_kept_whatever_others_hold(bodies: Bodies) -> None:
    with bodies.holding() as share, bodies.holding() as others:
        share.promise(10 * SMALL_BYTES)
        others.take(bodies.free)
        for _ in range(2):
            share.reserve(5 * SMALL_BYTES)
        assert share.held == 10 * SMALL_BYTES
        with pytest.raises(Overloaded):
            share.reserve(2 * SMALL_BYTES)
