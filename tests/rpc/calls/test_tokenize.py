"""Tokenize and decode: the tokens and texts of HTTP, with the defaults of messages."""

from collections.abc import Callable
from typing import Any

import pytest
from starlette.types import ASGIApp

from app.api.http.service import Service
from tests.rpc.conftest import Play
from tests.support import rpc
from tests.support.rpc import Client
from tools.asgi import post

MakeService = Callable[..., tuple[Service, ASGIApp]]

TEXT = "hello héllo the cat"
PLACES = ("start", "stop")


def listed(answer: Any) -> list[dict[str, Any]]:
    return [
        {"id": one.id, "text": one.text, "special": one.special}
        | {name: getattr(one, name) if one.HasField(name) else None for name in PLACES}
        for one in answer.tokens
    ]


@pytest.mark.parametrize("fields", [{}, {"add_special_tokens": True}, {"prompt_name": "query"}])
def test_tokens_are_those_of_http(make_service: MakeService, fields: dict[str, Any]) -> None:
    service, app = make_service()

    async def scenario(client: Client) -> Any:
        streamed = await client.stream("TokenizeStream", [{"inputs": TEXT} | fields] * 3)
        return [await client.ask("Tokenize", inputs=TEXT, **fields), *streamed]

    answers = rpc.run(scenario, service)
    body = {"inputs": TEXT, "add_special_tokens": False} | fields  # which HTTP adds by default
    [expected] = post(app, "/tokenize", body).json
    for answer in answers:
        assert listed(answer) == expected


@pytest.mark.parametrize("skip", [False, True])
def test_a_text_is_that_of_http(make_service: MakeService, skip: bool) -> None:
    service, app = make_service()
    fields = {"ids": [2, 17, 18, 3], "skip_special_tokens": skip}

    async def scenario(client: Client) -> Any:
        streamed = await client.stream("DecodeStream", [fields] * 3)
        return [await client.ask("Decode", **fields), *streamed]

    answers = rpc.run(scenario, service)
    [expected] = post(app, "/decode", {"ids": [fields["ids"]], "skip_special_tokens": skip}).json
    assert [answer.text for answer in answers] == [expected] * 4


@pytest.mark.parametrize(
    ("name", "fields", "status"),
    [
        ("Tokenize", {}, ("INVALID_ARGUMENT", "Input validation error: `inputs` cannot be empty")),
        ("Decode", {}, ("INVALID_ARGUMENT", "Input validation error: `input_ids` cannot be empty")),
    ],
)
def test_an_empty_message_is_refused(
    play: Play, name: str, fields: dict[str, Any], status: tuple[str, str]
) -> None:
    assert play(lambda client: client.refused(name, **fields)) == status


def test_a_long_text_is_answered_whole(play: Play) -> None:
    answer = play(lambda client: client.ask("Tokenize", inputs="the cat " * 360))
    assert len(answer.tokens) == 720
    assert answer.tokens[-1].stop == 8 * 360 - 1


def test_a_failure_is_counted_and_nothing_else(make_service: MakeService) -> None:
    service, _ = make_service()

    async def scenario(client: Client) -> None:
        await client.ask("Tokenize", inputs="a")
        await client.refused("Tokenize")

    rpc.run(scenario, service)
    text = service.metrics.render()
    assert 'te_request_failure{err="tokenization"} 1' in text
    assert "te_request_count" not in text


def test_ids_that_find_no_room_are_not_even_read(
    make_service: MakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each takes ten times its bytes in the message, and more in the answer."""

    def read(*_: object, **__: object) -> None:
        raise AssertionError

    service, _ = make_service(max_concurrent_bytes=400_000, payload_limit=100_000)
    monkeypatch.setattr(type(service.model.listing), "decode", read)

    async def scenario(client: Client) -> tuple[str, str]:
        with service.bodies.holding() as others:
            others.take(250_000)
            return await client.refused("Decode", ids=[1] * 2_000)

    assert rpc.run(scenario, service) == ("RESOURCE_EXHAUSTED", "Model is overloaded")
