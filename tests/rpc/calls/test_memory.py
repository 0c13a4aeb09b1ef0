"""Memory: a message never takes more than was estimated for it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.types import ASGIApp

from app.api.http.service import Service
from app.api.shapes.inputs import memory_of
from app.api.verbs.tei_tokenize import ANSWER_BYTES
from app.rpc.calls.memory import most_memory
from app.rpc.messages import named
from tests.support import rpc
from tests.support.rpc import METHODS

MakeService = Callable[..., tuple[Service, ASGIApp]]

LONG = "the cat " * 360


@pytest.mark.parametrize("text", ["", "a", "é" * 90, "a" * 90 + "\N{GRINNING FACE}", LONG])
def test_no_text_takes_more(make_service: MakeService, text: str) -> None:
    service, _ = make_service()
    size = len(named("EncodeRequest")(inputs=text).SerializeToString())
    expected = most_memory("Tokenize", service.model, size)
    assert memory_of([text]) + ANSWER_BYTES * len(text) <= expected
    ids = [1] * len(text)
    size = len(named("DecodeRequest")(ids=ids).SerializeToString())
    assert memory_of([ids]) + ANSWER_BYTES * len(ids) <= most_memory("Decode", service.model, size)


@pytest.mark.parametrize(
    ("kind", "name"),
    [("embedding", "Embed"), ("embedding", "EmbedAll"), ("splade", "EmbedSparse")],
)
def test_no_answer_takes_more(
    make_service: MakeService, folders: dict[str, Path], kind: str, name: str
) -> None:
    service, _ = make_service(model_id=str(folders[kind]))
    fields: dict[str, Any] = {"inputs": LONG, "truncate": True}
    answer = rpc.run(lambda client: client.ask(name, **fields), service)
    size = len(named(METHODS[name].input_type.name)(**fields).SerializeToString())
    assert len(answer.SerializeToString()) <= most_memory(name, service.model, size)
    assert most_memory("EmbedAll", service.model, 1) < most_memory("EmbedAll", service.model, 100)
