"""Garbage after a request: nothing is left that only the collector would free.

An error whose own frames lead to it keeps its whole request in memory until the collector passes
over it; while large bodies are read, that may be long.
"""

import asyncio
import contextlib
import gc
import json
import math
from collections.abc import Callable
from typing import Any

import pytest
from starlette.types import ASGIApp

from app.api.body import garbage_collection, reader
from app.api.body.reader import LARGE_BYTES
from app.api.http.service import Service
from app.api.verbs.tei_embed import EMBED
from app.errors import UnreadableRequest
from tools.asgi import make_scope, send_request
from tools.client import JSON

MakeService = Callable[..., tuple[Service, ASGIApp]]
LONG = "the cat sat on a mat " * (LARGE_BYTES // 20)
BODIES: dict[str, tuple[str, Any, int]] = {
    "answered": ("/embed", {"inputs": ["cat"] * 3}, 200),
    "large": ("/embed", {"inputs": [LONG] * 2}, 200),
    "token vectors": ("/embed_all", {"inputs": ["cat"] * 3}, 200),
    "ids": ("/embed", {"inputs": [7] * LARGE_BYTES}, 200),
    "decoded": ("/decode", {"ids": [7] * LARGE_BYTES}, 200),
    "too long to tokenize": ("/tokenize", {"inputs": [LONG] * 2}, 422),
    "too long to embed": ("/embed", {"inputs": [LONG] * 2, "truncate": False}, 422),
    "empty": ("/embed", {"inputs": ["", ""]}, 400),
    "empty instances": ("/vertex", {"instances": [{"inputs": []}] * 9_000}, 400),
    "arrays": ("/embed", {"inputs": [[[[]]]] * 40_000}, 422),
    "no such prompt": ("/embed", {"inputs": "a", "prompt_name": "p" * LARGE_BYTES}, 422),
    "too many": ("/embed", {"inputs": ["a"] * 50}, 422),
    "another kind": ("/predict", {"inputs": "a"}, 424),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", BODIES)
def test_nothing_is_left_for_the_collector(make_service: MakeService, case: str) -> None:
    _, app = make_service()
    path, body, status = BODIES[case]
    content = json.dumps(body).encode()

    async def ask() -> int:
        return (await send_request(app, make_scope("POST", path, JSON), [content])).status

    async def scenario() -> int:
        assert await ask() == status
        gc.collect()
        gc.disable()
        try:
            assert await ask() == status
            gc.disable()  # a large body has enabled it
            return gc.collect()
        finally:
            gc.enable()

    assert asyncio.run(scenario()) == 0


ARRAYS = b'{"inputs":[' + b"[1]," * 100_000 + b"[2]]}"


def collected(content: bytes) -> list[int]:
    """Return the generations that are collected while a body is read, or just after."""
    started: list[int] = []

    def note(phase: str, details: dict[str, int]) -> None:
        if phase == "start":
            started.append(details["generation"])

    gc.callbacks.append(note)
    try:
        with contextlib.suppress(UnreadableRequest):
            asyncio.run(reader.in_turns(content, EMBED, dict))
    finally:
        gc.callbacks.remove(note)
    assert gc.isenabled()
    return started


@pytest.mark.parametrize("content", [ARRAYS, ARRAYS[:-2]])
@pytest.mark.parametrize(("seconds", "times"), [(math.inf, 0), (-1, 2)])
def test_all_garbage_is_looked_for_after_a_large_body_if_it_is_due(
    content: bytes, seconds: float, times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(garbage_collection, "COLLECTED_SECONDS", seconds)
    monkeypatch.setattr(garbage_collection, "COLLECTED_BODIES", 1)
    assert collected(content).count(2) == times
