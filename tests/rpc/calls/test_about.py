"""About: the model by gRPC's `Info`."""

import pytest

from app import __version__
from tests.rpc.conftest import Play
from tests.support.rpc import Client


@pytest.mark.parametrize(
    ("kind", "model_type"),
    [("embedding", 0), ("splade", 0), ("multi_vector", 0), ("classifier", 1), ("reranker", 2)],
)
def test_the_kind_of_model_is_named(play: Play, kind: str, model_type: int) -> None:
    assert play(lambda client: client.ask("Info"), kind).model_type == model_type


def test_the_facts_of_http_info_are_given(play: Play) -> None:
    answer = play(lambda client: client.ask("Info"), dtype="float32", max_batch_requests=7)
    told = {field.name: value for field, value in answer.ListFields()}
    assert told.pop("model_id").endswith("/embedding")
    assert told.pop("tokenization_workers") >= 1
    assert told == {
        "version": __version__,
        "model_dtype": "float32",
        "max_concurrent_requests": 512,
        "max_input_length": 12,
        "max_batch_tokens": 16384,
        "max_batch_requests": 7,
        "max_client_batch_size": 32,
    }


def test_a_number_that_no_field_holds_is_the_largest(play: Play) -> None:
    answer = play(lambda client: client.ask("Info"), max_concurrent_requests=2**40)
    assert answer.max_concurrent_requests == 2**32 - 1


def test_fields_of_later_versions_are_ignored(play: Play) -> None:
    async def scenario(client: Client) -> str:
        call = client.call("Info", as_bytes=bytes)
        answer = await call(b"\x50\x07")  # field 10, which InfoRequest lacks
        return str(answer.version)

    assert play(scenario) == __version__
