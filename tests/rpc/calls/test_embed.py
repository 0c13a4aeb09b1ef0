"""Embed: vectors are those of HTTP, bit for bit."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.types import ASGIApp

from app.api.http.service import Service
from tests.rpc.conftest import Play
from tests.support import rpc
from tests.support.rpc import Client
from tools.asgi import post

MakeService = Callable[..., tuple[Service, ASGIApp]]

TEXT = "hello world the cat"


def floats(values: Any) -> Any:
    return np.array(values, np.float32)


@pytest.mark.parametrize(
    ("fields", "body"),
    [
        ({}, {"truncate": False}),
        ({"normalize": True}, {}),
        ({"normalize": False}, {"normalize": False}),
        ({"dimensions": 3}, {"dimensions": 3}),
        ({"inputs": "the cat " * 50, "truncate": True}, {"truncate": True}),
        (
            {"inputs": "a cat " + "the dog " * 50, "truncate": True, "truncation_direction": 1},
            {"truncate": True, "truncation_direction": "Left"},
        ),
        ({"prompt_name": "query"}, {"prompt_name": "query"}),
    ],
)
def test_a_vector_is_that_of_http(
    make_service: MakeService, fields: dict[str, Any], body: dict[str, Any]
) -> None:
    service, app = make_service()
    fields = {"inputs": TEXT} | fields

    async def scenario(client: Client) -> Any:
        return await client.ask("Embed", **fields), await client.stream("EmbedStream", [fields])

    answer, [streamed] = rpc.run(scenario, service)
    [expected] = post(app, "/embed", body | {"inputs": fields["inputs"]}).json
    assert floats(answer.embeddings).tobytes() == floats(expected).tobytes()
    assert streamed.embeddings == answer.embeddings


def test_the_vectors_of_tokens_are_those_of_http(make_service: MakeService) -> None:
    service, app = make_service()

    async def scenario(client: Client) -> Any:
        streamed = await client.stream("EmbedAllStream", [{"inputs": TEXT}])
        return await client.ask("EmbedAll", inputs=TEXT), *streamed

    answer, streamed = rpc.run(scenario, service)
    [expected] = post(app, "/embed_all", {"inputs": TEXT}).json
    assert floats([one.embeddings for one in answer.token_embeddings]).tobytes() == (
        floats(expected).tobytes()
    )
    assert streamed.token_embeddings == answer.token_embeddings
    assert answer.metadata.compute_tokens == len(expected)


def test_the_entries_of_a_sparse_vector_are_those_of_http(
    make_service: MakeService, folders: dict[str, Path]
) -> None:
    service, app = make_service(model_id=str(folders["splade"]))

    async def scenario(client: Client) -> Any:
        streamed = await client.stream("EmbedSparseStream", [{"inputs": TEXT}])
        return await client.ask("EmbedSparse", inputs=TEXT), *streamed

    answer, streamed = rpc.run(scenario, service)
    [expected] = post(app, "/embed_sparse", {"inputs": TEXT}).json
    found = [(one.index, np.float32(one.value)) for one in answer.sparse_embeddings]
    assert found == [(one["index"], np.float32(one["value"])) for one in expected]
    assert found
    assert streamed.sparse_embeddings == answer.sparse_embeddings


@pytest.mark.parametrize(
    ("kind", "name", "fields", "status"),
    [
        ("embedding", "Embed", {"inputs": ""}, ("INVALID_ARGUMENT", "Input validation error: `inputs` cannot be empty")),
        ("embedding", "Embed", {}, ("INVALID_ARGUMENT", "Input validation error: `inputs` cannot be empty")),
        ("embedding", "Embed", {"inputs": "the cat " * 50}, ("INVALID_ARGUMENT", "Input validation error: `inputs` must have less than 12 tokens. Given: 102")),
        ("embedding", "Embed", {"inputs": "a", "dimensions": 0}, ("INVALID_ARGUMENT", "Input validation error: `dimensions` should be positive")),
        ("embedding", "EmbedSparse", {"inputs": "a"}, ("FAILED_PRECONDITION", "Backend error: Model is not an embedding model with SPLADE pooling")),
        ("reranker", "Embed", {"inputs": "a"}, ("FAILED_PRECONDITION", "Backend error: Model is not an embedding model")),
        ("classifier", "EmbedAll", {"inputs": "a"}, ("FAILED_PRECONDITION", "Backend error: Model is not an embedding model")),
    ],
)  # fmt: skip
def test_a_fault_has_the_message_of_http(
    play: Play, kind: str, name: str, fields: dict[str, Any], status: tuple[str, str]
) -> None:
    assert play(lambda client: client.refused(name, **fields), kind) == status


@pytest.mark.parametrize("name", ["none", "é" * 100_000])
def test_an_unknown_prompt_is_said(play: Play, name: str) -> None:
    code, message = play(lambda client: client.refused("Embed", inputs="a", prompt_name=name))
    assert code == "INVALID_ARGUMENT"
    assert name[:100] in message
