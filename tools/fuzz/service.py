"""Invariants of the answer to any body, on every route of every kind of model."""

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

import orjson
from starlette.types import ASGIApp

from app.api.http.service import Service
from app.application import build, create_app
from app.model.names import Task
from app.options.settings import Settings
from tools import tiny
from tools.asgi import make_scope, send_request
from tools.client import JSON, Reply

ROUTES: Mapping[Task, Sequence[str]] = {
    "embedding": (
        "/", "/embed", "/embed_all", "/embed_sparse", "/similarity", "/v1/embeddings", "/v2/embed",
        "/tokenize", "/decode", "/vertex",
    ),
    "splade": ("/embed_sparse", "/vertex"),
    "multi_vector": ("/embed_all",),
    "classifier": ("/predict", "/rerank", "/vertex"),
    "reranker": ("/rerank", "/v1/rerank", "/predict", "/vertex"),
}  # fmt: skip
REFUSALS = frozenset({400, 413, 422})  # before a dialect saw the request: plain text
STATUSES = frozenset({200, 400, 413, 422, 424})
OF_NUMBERS = frozenset({"/embed", "/embed_all", "/embed_sparse", "/similarity", "/v1/embeddings"})


class Applications:
    """An application over a tiny model of each kind, all on one event loop."""

    def __init__(self, folder: Path) -> None:
        self._runner = asyncio.Runner()
        self._made = {kind: _application(folder / kind, kind) for kind in ROUTES}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for service, _app in self._made.values():
            self._runner.run(service.model.close())
        self._runner.close()

    def check(self, content: bytes) -> None:
        """Fail unless every route answers a body as it may, and gives back what it took."""
        for kind, paths in ROUTES.items():
            service, app = self._made[kind]
            permits, bodies = service.model.engine.admission.permits, service.bodies
            for path in paths:
                scope = make_scope("POST", path, JSON)
                reply = self._runner.run(send_request(app, scope, [content] if content else []))
                fault = fault_of(path, reply)
                assert fault is None, f"{kind} {path}: {fault}, {reply.content[:200]!r}"
                assert (permits.free, bodies.free) == (permits.total, bodies.total)


def _application(folder: Path, kind: Task) -> tuple[Service, ASGIApp]:
    tiny.build(folder, kind, whole=kind == "embedding")
    settings = Settings(model_id=str(folder))
    service = build(settings, folder)
    return service, create_app(service, settings)


def fault_of(path: str, reply: Reply) -> str | None:
    """Return what is wrong with an answer, or None."""
    if reply.status not in STATUSES:
        return f"status {reply.status}"
    kind = reply.headers.get("content-type")
    if kind == "text/plain; charset=utf-8":
        return None if reply.status in REFUSALS and reply.text else "plain text"
    if kind != "application/json":
        return f"content type {kind}"
    try:
        orjson.loads(reply.content)  # unlike Python's own parser, it refuses NaN
    except orjson.JSONDecodeError as error:
        return f"no JSON: {error}"
    if reply.status == 200 and path in OF_NUMBERS and b"null" in reply.content:
        return "a number that is none"
    return None
