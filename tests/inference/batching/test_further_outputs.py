"""Outputs that the serving graph lacks come from a second session, opened on first use."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from starlette.types import ASGIApp

from app.api.http.service import Service
from app.inference.admission import InputOptions
from app.inference.providers.session import Session
from app.inference.served_model import ServedModel
from app.options.settings import Settings
from app.telemetry.metrics import Metrics
from tests.support import vector_graphs
from tools import tiny
from tools.asgi import post, request

MakeService = Callable[..., tuple[Service, ASGIApp]]
TEXTS = ["the cat", "hello world", "a"]
OPENED = "Opening a session for token_embeddings, beside the one that serves"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model whose graph for the CPU provider yields the vector alone."""
    vector_graphs.build(tmp_path / "tiny", "cpu")
    return tmp_path / "tiny"


def test_vectors_come_from_the_graph_that_yields_nothing_else(
    make_service: MakeService, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    _, app = make_service(model_id=str(folder), provider="cpu")
    found = post(app, "/embed", {"inputs": TEXTS, "normalize": False}).json
    expected = [tiny.reference(tiny.ids_of(text)) for text in TEXTS]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert request(app, "GET", "/info").json["graph"] == vector_graphs.FILE
    assert OPENED not in caplog.messages


def test_the_first_request_for_token_vectors_opens_the_second_session(
    make_service: MakeService, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    _, app = make_service(model_id=str(folder), provider="cpu")
    for _ in range(2):
        answers = post(app, "/embed_all", {"inputs": TEXTS}).json
        for text, rows in zip(TEXTS, answers, strict=True):
            np.testing.assert_allclose(rows, tiny.token_vectors(tiny.ids_of(text)), atol=1e-6)
    found = post(app, "/embed", {"inputs": TEXTS, "normalize": False}).json
    np.testing.assert_allclose(found, [tiny.reference(tiny.ids_of(t)) for t in TEXTS], atol=1e-6)
    assert request(app, "GET", "/info").json["graph"] == vector_graphs.FILE
    assert caplog.messages.count(OPENED) == 1
    proofs = [line for line in caplog.messages if line.startswith("Proved on cpu in float32")]
    assert len(proofs) == 2  # both sessions have been proved


def test_requests_of_both_kinds_share_batches_and_one_opening(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    model = ServedModel.open(folder, Settings(model_id="m", provider="cpu"), Metrics())

    async def used() -> None:
        asked = InputOptions()
        for _ in range(3):
            tokens = [model.engine.embed_all([text], asked) for text in TEXTS]
            vectors = [model.engine.embed([text], asked, normalize=False) for text in TEXTS]
            found = await asyncio.gather(asyncio.gather(*tokens), asyncio.gather(*vectors))
            for text, rows, vector in zip(TEXTS, *found, strict=True):
                ids = tiny.ids_of(text)
                np.testing.assert_allclose(rows.value[0], tiny.token_vectors(ids), atol=1e-6)
                np.testing.assert_allclose(vector.value[0], tiny.reference(ids), atol=1e-6)
        await model.close()

    asyncio.run(used())
    assert caplog.messages.count(OPENED) == 1


def test_another_pooling_is_served_by_the_graph_that_has_it(
    make_service: MakeService, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    _, app = make_service(model_id=str(folder), provider="cpu", pooling="cls")
    [found] = post(app, "/embed", {"inputs": "the cat", "normalize": False}).json
    np.testing.assert_allclose(found, tiny.token_vectors(tiny.ids_of("the cat"))[0], atol=1e-6)
    assert post(app, "/embed_all", {"inputs": "the cat"}).status == 200
    assert request(app, "GET", "/info").json["graph"] == "model.onnx"
    assert OPENED not in caplog.messages  # the only session has all outputs


def test_a_session_that_does_not_open_fails_only_requests_that_need_it(
    make_service: MakeService, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    _, app = make_service(model_id=str(folder), provider="cpu")
    (folder / "model.onnx").write_bytes(b"no graph")
    for _ in range(2):
        reply = post(app, "/embed_all", {"inputs": "the cat"})
        assert (reply.status, reply.json["error_type"]) == (424, "Backend")
        assert reply.json["error"].startswith(
            "Backend error: token_embeddings cannot be computed: "
            f"{folder / 'model.onnx'} cannot be loaded: "
        )
        assert (
            request(app, "GET", "/health").status
            == post(app, "/embed", {"inputs": "the cat"}).status
            == 200
        )
    assert caplog.messages.count(OPENED) == 1  # a second request does not wait again


def test_a_session_that_answers_otherwise_is_not_taken(
    make_service: MakeService, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A graph that yields all outputs is as close as the proof of one of them shows."""
    real = Session.run

    def spoilt(self: Session, batch: object, outputs: object) -> object:
        found = real(self, batch, outputs)  # type: ignore[arg-type]
        if self.graph.file == "model.onnx":
            return {name: values[..., ::-1] for name, values in found.items()}
        return found

    _, app = make_service(model_id=str(folder), provider="cpu")
    monkeypatch.setattr(Session, "run", spoilt)
    reply = post(app, "/embed_all", {"inputs": "the cat"})
    assert reply.status == 424
    assert "the model does not give its original's answers here" in reply.json["error"]


def test_it_may_be_switched_off(
    make_service: MakeService, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    _, app = make_service(model_id=str(folder), provider="cpu", embed_all=False)
    reply = post(app, "/embed_all", {"inputs": "the cat"})
    assert (reply.status, reply.json) == (
        424,
        {
            "error": "Backend error: `embed_all` is not available: the service was started with "
            "--embed-all false",
            "error_type": "Backend",
        },
    )
    assert OPENED not in caplog.messages
