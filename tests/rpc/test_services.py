"""Services: every call of the definition is answered, and no other is."""

import asyncio
from pathlib import Path
from typing import Any

import grpc.aio
import pytest

from app import __version__
from app.application import build_each
from app.options.settings import Settings
from app.rpc.messages import SERVICES, named
from app.rpc.services import CALLS
from tests.rpc.conftest import Play
from tests.support import rpc
from tests.support.rpc import METHODS, Client


def test_every_call_has_what_answers_it() -> None:
    names = {name.removesuffix("Stream") for name in METHODS}
    assert set(CALLS) == names
    assert len(METHODS) == sum(len(service.methods) for service in SERVICES.values()) == 17


@pytest.mark.parametrize("name", sorted(METHODS))
def test_a_message_without_a_field_is_answered_or_refused(play: Play, name: str) -> None:
    async def scenario(client: Client) -> str:
        message = named(METHODS[name].input_type.name)()
        try:
            if METHODS[name].server_streaming:
                return str(await client.stream(name, [{}]))
            if METHODS[name].client_streaming:
                return str(await client.collected(name, [{}]))
            return str(await client.call(name)(message))
        except grpc.aio.AioRpcError as error:
            return str(error.code().name)

    expected = {"Info": f'version: "{__version__}"', "Rerank": "INVALID", "RerankStream": "FAILED"}
    default = "FAILED" if name in {"Predict", "PredictStream"} else ""
    found = play(scenario)
    assert found.startswith(expected.get(name, default or found))
    assert "INTERNAL" not in found


@pytest.mark.parametrize("path", ["/tei.v1.Embed/Other", "/tei.v2.Embed/Embed", "/Embed"])
def test_there_is_no_other_call(play: Play, path: str) -> None:
    async def scenario(client: Client) -> Any:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await client.channel.unary_unary(path)(b"")
        return caught.value.code().name

    assert play(scenario) == "UNIMPLEMENTED"


def test_calls_go_to_the_first_of_several_models(folders: dict[str, Path]) -> None:
    names = ("classifier", "embedding")
    prepared = [(Settings(model_id=str(folders[name])), folders[name]) for name in names]
    service = build_each(prepared)

    async def scenario(client: Client) -> Any:
        scored = await client.ask("Predict", inputs="a")
        return scored, await client.refused("Embed", inputs="a"), await client.ask("Info")

    scored, refused, told = rpc.run(scenario, service)
    asyncio.run(service.models.close())
    assert scored.predictions
    assert refused == ("FAILED_PRECONDITION", "Backend error: Model is not an embedding model")
    assert told.model_id == str(folders["classifier"])
    model = f'model="{folders["classifier"]}"'
    assert f'te_request_count{{{model},method="single"}} 2' in service.metrics.render()
