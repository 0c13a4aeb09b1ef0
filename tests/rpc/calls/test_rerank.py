"""Rerank: the order and the scores are those of HTTP, also of texts that come one by one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc.aio
import numpy as np
import pytest
from starlette.types import ASGIApp

from app.api.http.service import Service
from app.rpc.calls.rerank import RERANK
from app.rpc.messages import named
from tests.rpc.conftest import Play
from tests.support import rpc
from tests.support.rpc import Client, fault
from tools.asgi import post, request

MakeService = Callable[..., tuple[Service, ASGIApp]]

QUERY, TEXTS = "the cat", ["a dog", "hello world", "the cat", "the the the"]


def counted(service: Service) -> set[str]:
    """Return how many requests there were, and how many failed."""
    lines = service.metrics.render().splitlines()
    wanted = ("te_request_count", "te_request_failure")
    return {line for line in lines if line.startswith(wanted)}


def ranked(answer: Any) -> list[tuple[int, np.float32, str | None]]:
    return [
        (one.index, np.float32(one.score), one.text if one.HasField("text") else None)
        for one in answer.ranks
    ]


@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize("texts", [False, True])
def test_the_ranks_are_those_of_http(
    make_service: MakeService, folders: dict[str, Path], raw: bool, texts: bool
) -> None:
    service, app = make_service(model_id=str(folders["reranker"]))
    options = {"raw_scores": raw, "return_text": texts}

    async def scenario(client: Client) -> list[Any]:
        # The first message's options count.
        rest = [{"query": QUERY, "text": text, "raw_scores": not raw} for text in TEXTS[1:]]
        stream: list[dict[str, Any]] = [{"query": QUERY, "text": TEXTS[0]} | options, *rest]
        return [
            await client.ask("Rerank", query=QUERY, texts=TEXTS, **options),
            await client.collected("RerankStream", stream),
        ]

    answers = rpc.run(scenario, service)
    found = post(app, "/rerank", {"query": QUERY, "texts": TEXTS, **options}).json
    expected = [(one["index"], np.float32(one["score"]), one.get("text")) for one in found]
    at_once, one_by_one = map(ranked, answers)
    assert at_once == expected
    assert [(index, text) for index, _, text in one_by_one] == [
        (index, text) for index, _, text in expected
    ]
    scores = [score for _, score, _ in one_by_one]  # each computed by itself
    np.testing.assert_allclose(scores, [score for _, score, _ in expected], rtol=1e-5)
    for answer in answers:
        assert answer.metadata.compute_chars == sum(len(QUERY) + len(text) for text in TEXTS)
        assert answer.metadata.inference_time_ns > 0


def test_a_stream_is_one_request_to_the_metrics(
    make_service: MakeService, folders: dict[str, Path]
) -> None:
    service, app = make_service(model_id=str(folders["reranker"]))

    def counts() -> set[str]:
        lines = request(app, "GET", "/metrics").text.splitlines()
        wanted = (
            "te_request_count",
            "te_request_success",
            "te_predict_count",
            "te_predict_success",
        )
        return {line for line in lines if line.startswith(wanted)}

    async def scenario(client: Client) -> None:
        await client.collected("RerankStream", [{"query": QUERY, "text": text} for text in TEXTS])

    rpc.run(scenario, service)
    assert counts() == {
        'te_request_count{method="batch"} 1',
        'te_request_success{method="batch"} 1',
        "te_predict_count 4",
        "te_predict_success 4",
    }


NOTHING = ("INVALID_ARGUMENT", "`texts` cannot be empty")


@pytest.mark.parametrize(
    ("kind", "fields", "status"),
    [
        ("reranker", {}, NOTHING),
        ("embedding", {}, NOTHING),  # found before the kind of model
        ("embedding", {"texts": ["a"]}, ("FAILED_PRECONDITION", "model is not a classifier model")),
        ("classifier", {"texts": ["a"]}, ("FAILED_PRECONDITION", "model is not a re-ranker model")),
        ("reranker", {"texts": ["a"] * 33}, ("INVALID_ARGUMENT", "batch size 33 > maximum allowed batch size 32; --max-client-batch-size raises it")),
        ("reranker", {"texts": ["a", ""]}, None),
    ],
)  # fmt: skip
def test_a_fault_has_its_message(
    play: Play, kind: str, fields: dict[str, Any], status: tuple[str, str] | None
) -> None:
    if status is None:  # a pair with one empty text is not an empty pair
        assert len(play(lambda client: client.ask("Rerank", query="q", **fields), kind).ranks) == 2
    else:
        assert play(lambda client: client.refused("Rerank", query="q", **fields), kind) == status


@pytest.mark.parametrize("kind", ["reranker", "embedding"])
def test_texts_that_are_refused_are_not_even_paired(
    make_service: MakeService,
    folders: dict[str, Path],
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:
    """A million pairs would block the event loop for a second."""

    def paired(*_: object) -> None:
        raise AssertionError

    service, _ = make_service(model_id=str(folders[kind]))
    asked: dict[str, Any] = {"query": "q", "texts": ["a"] * 33}
    with monkeypatch.context() as patched:
        patched.setattr(type(RERANK.verb), "build", paired)
        code, _ = rpc.run(lambda client: client.refused("Rerank", **asked), service)
    assert code in {"INVALID_ARGUMENT", "FAILED_PRECONDITION"}
    found = counted(service)
    service, app = make_service(model_id=str(folders[kind]))
    assert post(app, "/rerank", asked).status in {422, 424}
    assert found == counted(service)


@pytest.mark.parametrize(
    ("kind", "messages", "status"),
    [
        ("reranker", [], NOTHING),
        ("embedding", [], ("FAILED_PRECONDITION", "model is not a classifier model")),
        ("classifier", [], ("FAILED_PRECONDITION", "model is not a re-ranker model")),
        ("reranker", [{"query": "", "text": ""}], ("INVALID_ARGUMENT", "Input validation error: `inputs` cannot be empty")),
    ],
)  # fmt: skip
def test_a_stream_has_faults_of_its_own(
    play: Play, kind: str, messages: list[dict[str, Any]], status: tuple[str, str]
) -> None:
    async def scenario(client: Client) -> tuple[str, str]:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await client.collected("RerankStream", messages)
        return fault(caught.value)

    assert play(scenario, kind) == status


def test_texts_wait_for_permits_also_more_of_them_than_there_are(play: Play) -> None:
    async def scenario(client: Client) -> Any:
        messages = [{"query": QUERY, "text": text} for text in TEXTS * 50]
        return (
            await client.ask("Rerank", query=QUERY, texts=TEXTS),
            await client.collected("RerankStream", messages),
        )

    answer, streamed = play(scenario, "reranker", max_concurrent_requests=2)
    assert sorted(one.index for one in answer.ranks) == [0, 1, 2, 3]
    assert sorted(one.index for one in streamed.ranks) == list(range(200))


def test_a_stream_leaves_a_quarter_to_others(play: Play) -> None:
    async def scenario(client: Client) -> tuple[str, str]:
        messages = [{"query": QUERY, "text": "a"} for _ in range(25)]  # 712 bytes each
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await client.collected("RerankStream", messages)
        return fault(caught.value)

    expected = ("RESOURCE_EXHAUSTED", "Model is overloaded")
    assert play(scenario, "reranker", max_concurrent_bytes=20_000, payload_limit=10_000) == expected


def test_a_stream_that_goes_silent_ends(play: Play) -> None:
    """It holds its texts, and so the bytes that others could use."""

    async def scenario(client: Client) -> tuple[str, str]:
        call = client.call("RerankStream")()
        await call.write(named("RerankStreamRequest")(query=QUERY, text="a"))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call
        return fault(caught.value)

    expected = ("DEADLINE_EXCEEDED", "the message came too slowly")
    assert play(scenario, "reranker", client_timeout_seconds=0.3) == expected
