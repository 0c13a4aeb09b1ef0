"""Kinds of vectors: which ones a model has, and that one pass computes all of them."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from starlette.types import ASGIApp

from app.api.http.service import Service
from app.inference.admission import InputOptions
from app.inference.computing import Progress
from app.inference.kinds.served_kinds import AskedKinds
from app.inference.providers.session import Session
from tests.api.conftest import MakeKind
from tests.support.scores import refused
from tools.asgi import post

MakeService = Callable[..., tuple[Service, ASGIApp]]


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, Sequence[str]]]:
    """Record how many rows each run has, and for which outputs."""
    found: list[tuple[int, Sequence[str]]] = []
    run = Session.run

    def noted(session: Session, batch: Any, outputs: Sequence[str]) -> Any:
        found.append((len(batch.input_ids), outputs))
        return run(session, batch, outputs)

    monkeypatch.setattr(Session, "run", noted)
    return found


def test_all_kinds_are_of_one_pass_of_the_model(
    make_kind: MakeKind, runs: list[tuple[int, Sequence[str]]]
) -> None:
    app = make_kind("whole")
    runs.clear()
    kinds = ["multi_vector", "sparse", "dense"]
    assert post(app, "/embed", {"inputs": ["a", "b"], "output_types": kinds}).status == 200
    assert runs == [(2, ("sentence_embedding", "lexical_weights", "multi_vector_embedding"))]


@pytest.mark.parametrize(
    ("model", "kind", "found"),
    [
        ("embedding", "sparse", "the model has `dense`"),
        ("splade", "dense", "the model has `sparse`"),
        ("multi_vector", "dense", "the model has `multi_vector`"),
        ("classifier", "dense", "the model has no vectors"),
    ],
)
def test_a_kind_that_the_model_lacks_is_424_with_those_it_has(
    make_kind: MakeKind, model: str, kind: str, found: str
) -> None:
    body = {"inputs": "a", "output_types": [kind]}
    text = f"Backend error: `output_types`: `{kind}` is not available, {found}"
    assert refused(post(make_kind(model), "/embed", body), 424, "Backend", text)


@pytest.mark.parametrize(
    ("model", "kind", "path"),
    [("splade", "sparse", "/embed_sparse"), ("multi_vector", "multi_vector", "/embed_all")],
)
def test_a_model_of_one_kind_answers_with_it(
    make_kind: MakeKind, model: str, kind: str, path: str
) -> None:
    app = make_kind(model)
    found = post(app, "/embed", {"inputs": ["the cat", "a"], "output_types": [kind]}).json
    assert [one[kind] for one in found] == post(app, path, {"inputs": ["the cat", "a"]}).json


def test_vectors_of_tokens_may_be_switched_off(
    make_service: MakeService, folders: dict[str, Path]
) -> None:
    _, app = make_service(model_id=str(folders["whole"]), embed_all=False)
    body = {"inputs": "a", "output_types": ["multi_vector"]}
    assert "the model has `dense`, `sparse`" in post(app, "/embed", body).json["error"]


@pytest.mark.parametrize(("dimensions", "status"), [(0, 422), (17, 422), (16, 200)])
def test_dimensions_are_those_of_embed(make_kind: MakeKind, dimensions: int, status: int) -> None:
    app = make_kind("whole")
    body = {"inputs": "a", "dimensions": dimensions}
    plain = post(app, "/embed", body)
    several = post(app, "/embed", {**body, "output_types": ["dense"]})
    assert plain.status == several.status == status
    if status != 200:
        assert plain.content == several.content


def test_bytes_are_reserved_for_all_kinds_together(
    make_service: MakeService, folders: dict[str, Path]
) -> None:
    service, _ = make_service(model_id=str(folders["whole"]))
    asked: list[int] = []
    model = service.model.telling(Progress(measured=asked.append))
    texts = ["the cat", "a"]

    async def scenario() -> None:
        options = InputOptions()
        await model.engine.embed_kinds(texts, options, AskedKinds(("dense",)))
        await model.engine.embed_kinds(texts, options, AskedKinds(("sparse", "multi_vector")))
        every = AskedKinds(("dense", "sparse", "multi_vector"))
        await model.engine.embed_kinds(texts, options, every)

    asyncio.run(scenario())
    assert asked[0] + asked[1] == asked[2] > asked[1] > asked[0]
