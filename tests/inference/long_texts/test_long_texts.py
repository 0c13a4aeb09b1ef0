"""Resources of long texts: permits, bytes and the worker; and work that is never done."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import numpy as np
import pytest
from starlette.types import ASGIApp

from app.api.http.service import Service
from app.errors import Overloaded
from app.inference.admission import InputOptions
from app.inference.computing import Progress
from app.inference.engine import Engine
from app.inference.long_texts import long_texts
from app.inference.long_texts.long_texts import Chunked
from tests.support.held_runs import Held, until
from tools import tiny

MakeService = Callable[..., tuple[Service, ASGIApp]]

TEXT = " ".join(tiny.WORDS[4 + place % 11] for place in range(95))  # ten windows of ten words
SPANS = np.array([(0, 21), (21, len(TEXT))], np.uint64)
CHUNKED = Chunked(TEXT, SPANS, "spans")
WINDOW_BYTES = tiny.MAX_LENGTH * tiny.DIMENSIONS * 4
Ask = Callable[[Engine], Coroutine[Any, Any, Any]]


async def mean(engine: Engine) -> Any:
    return (await engine.embed([TEXT], InputOptions(averages_windows=True))).value


async def chunks(engine: Engine) -> Any:
    found = await engine.embed_chunks(CHUNKED, InputOptions(), normalize=True, dimensions=None)
    return found.value


BOTH = pytest.mark.parametrize("ask", [mean, chunks])


@BOTH
@pytest.mark.parametrize("permits", [1, 2, 3, 7])
def test_permits_bound_the_windows_computed_at_a_time(
    make_service: MakeService, monkeypatch: pytest.MonkeyPatch, ask: Ask, permits: int
) -> None:
    enough = asyncio.run(ask(make_service()[0].model.engine))
    engine = make_service(max_concurrent_requests=permits)[0].model.engine
    held = Held(monkeypatch)
    held.go_on(100)
    np.testing.assert_allclose(asyncio.run(ask(engine)), enough, atol=1e-6)
    assert sum(held.sizes) >= 10
    assert max(held.sizes) <= permits
    assert engine.admission.permits.free == permits


@BOTH
def test_each_window_takes_a_permit(
    make_service: MakeService, monkeypatch: pytest.MonkeyPatch, ask: Ask
) -> None:
    engine = make_service(max_concurrent_requests=40)[0].model.engine
    permits, held = engine.admission.permits, Held(monkeypatch)

    async def scenario() -> None:
        asked = asyncio.create_task(ask(engine))
        await held.begun()
        taken = permits.total - permits.free
        assert taken == (10 if ask is mean else 12)
        held.go_on(100)
        await asked

    asyncio.run(scenario())
    assert permits.free == permits.total


def test_more_inputs_than_windows_keep_their_permits(
    make_service: MakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = make_service(max_concurrent_requests=40)[0].model.engine
    permits, held = engine.admission.permits, Held(monkeypatch)
    asked = Chunked("a b c", np.array([(0, 1), (2, 3), (4, 5)], np.uint64), "input")

    async def scenario() -> None:
        options = InputOptions()
        asking = engine.embed_chunks(asked, options, normalize=True, dimensions=None)
        task = asyncio.create_task(asking)
        await held.begun()
        assert permits.total - permits.free == 3
        held.go_on(100)
        await task

    asyncio.run(scenario())
    assert (held.sizes, permits.free) == ([1], permits.total)


@BOTH
def test_no_later_window_is_computed_for_a_client_that_has_gone(
    make_service: MakeService, monkeypatch: pytest.MonkeyPatch, ask: Ask
) -> None:
    engine = make_service(max_concurrent_requests=4, threads=1)[0].model.engine
    permits, held = engine.admission.permits, Held(monkeypatch)

    async def scenario() -> None:
        asked = asyncio.create_task(ask(engine))
        await held.begun()
        asked.cancel()
        await until(lambda: permits.free == permits.total)
        held.go_on(100)
        await engine.embed(["a"], InputOptions())

    asyncio.run(scenario())
    assert sum(held.sizes) <= 4 + 1


def test_token_vectors_are_in_memory_for_a_few_windows_at_a_time(
    make_service: MakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = make_service()[0].model.engine
    whole = asyncio.run(chunks(engine))
    measured: list[int] = []
    monkeypatch.setattr(long_texts, "GROUP_BYTES", 3 * WINDOW_BYTES + 1)
    held = Held(monkeypatch)
    held.go_on(100)
    found = asyncio.run(chunks(engine.telling(Progress(measured=measured.append))))
    np.testing.assert_allclose(found, whole, atol=1e-6)
    assert max(held.sizes) <= 3
    tokens = (97 + 95) * 8  # ids, and the places of the text's tokens
    assert measured == [tokens + 3 * WINDOW_BYTES + 2 * tiny.DIMENSIONS * long_texts.SUM_BYTES]


@BOTH
def test_nothing_is_computed_without_room_for_it(
    make_service: MakeService, monkeypatch: pytest.MonkeyPatch, ask: Ask
) -> None:
    engine = make_service()[0].model.engine
    held = Held(monkeypatch)

    def refuse(_: int) -> None:
        raise Overloaded

    with pytest.raises(Overloaded):
        asyncio.run(ask(engine.telling(Progress(measured=refuse))))
    assert held.sizes == []
    assert engine.admission.permits.free == engine.admission.permits.total


def test_a_long_chunk_is_added_in_pieces(
    make_service: MakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = make_service()[0].model.engine
    whole = asyncio.run(chunks(engine))
    monkeypatch.setattr(long_texts, "ADDED_NUMBERS", 3 * tiny.DIMENSIONS)
    np.testing.assert_allclose(asyncio.run(chunks(engine)), whole, atol=1e-6)


def test_a_chunk_is_the_mean_of_its_tokens(make_service: MakeService) -> None:
    """Tokens of the tiny model attend to nothing else, so windows change nothing."""
    found = asyncio.run(chunks(make_service()[0].model.engine))
    parts = [TEXT[start:stop].strip() for start, stop in SPANS.tolist()]
    expected = [
        tiny.unit(tiny.token_vectors(tiny.ids_of(part)[1:-1]).mean(axis=0)) for part in parts
    ]
    np.testing.assert_allclose(found, expected, atol=1e-6)
