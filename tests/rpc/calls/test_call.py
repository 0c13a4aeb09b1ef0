"""A call: its cost, and the headers of HTTP as its metadata."""

from collections.abc import Callable
from typing import Any

from starlette.types import ASGIApp

from app.api.http.service import Service
from app.api.verbs.tei_embed import Embed
from app.rpc.calls.call import built, defaults, fields
from app.rpc.messages import named
from tests.rpc.conftest import Play
from tests.support import rpc
from tests.support.rpc import Client
from tools.asgi import post

MakeService = Callable[..., tuple[Service, ASGIApp]]

TIMES = ("total_time_ns", "tokenization_time_ns", "queue_time_ns", "inference_time_ns")


def test_an_answer_says_what_it_cost(play: Play) -> None:
    cost = play(lambda client: client.ask("Embed", inputs="hello wörld")).metadata
    assert (cost.compute_chars, cost.compute_tokens) == (11, 4)
    assert all(getattr(cost, name) > 0 for name in TIMES)
    assert cost.total_time_ns >= cost.queue_time_ns + cost.inference_time_ns


def test_the_metadata_are_the_headers_of_http(make_service: MakeService) -> None:
    service, app = make_service()
    told = rpc.run(
        lambda client: client.told("Embed", inputs="the cat " * 9, truncate=True), service
    )
    answer = post(app, "/embed", {"inputs": "the cat " * 9, "truncate": True})
    headers = {name: value for name, value in answer.headers.items() if name.startswith("x-")}
    assert told.keys() == headers.keys()
    same = {name for name in headers if "time" not in name and name != "x-request-id"}
    assert {name: told[name] for name in same} == {name: headers[name] for name in same}
    assert told["x-truncated-inputs"] == "1"


def test_a_request_is_counted_as_over_http(make_service: MakeService) -> None:
    def counts(service: Service) -> set[str]:
        lines = service.metrics.render().splitlines()
        wanted = ("te_request_count", "te_request_succ", "te_request_fail", "te_embed_count", "te_embed_succ", "te_request_input_length_sum")  # fmt: skip
        return {line for line in lines if line.startswith(wanted) and not line.endswith(" 0")}

    async def scenario(client: Client) -> None:
        await client.ask("Embed", inputs="the cat")
        await client.refused("Embed", inputs="")

    grpc, _ = make_service()
    rpc.run(scenario, grpc)
    http, app = make_service()
    post(app, "/embed", {"inputs": "the cat"})
    post(app, "/embed", {"inputs": ""})
    assert counts(grpc) == counts(http)
    assert counts(grpc)


def test_absent_fields_are_those_that_a_body_leaves_out() -> None:
    absent = built(Embed(), named("EmbedRequest")(inputs="a"))
    given: dict[str, Any] = {"inputs": (["a"], False), "truncate": False}
    assert repr(absent) == repr(Embed().build(defaults(Embed()) | given))
    assert absent.extra.kinds.normalize is True
    left = fields(named("EmbedRequest")(inputs="a", truncation_direction=1, normalize=False))
    assert left == {
        "inputs": (["a"], False),
        "truncate": False,
        "normalize": False,
        "truncation_direction": "left",
    }
