"""`make overload`: its figures, its faults, and clients that do not wait for each other."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.bench.report import markers
from tools.overload.__main__ import COMMAND, PAGE
from tools.overload.clients import Answer, Clients, get, post
from tools.overload.stage import Stage, Watch
from tools.process import Server

ACCEPTED = [Answer(due, due + 1, 200, None) for due in (0.0, 1.0, 2.0, 3.0)]


def stage(*more: Answer) -> Stage:
    return Stage(rows=2, seconds=4.0, answers=[*ACCEPTED, *more], cpu=1.5, most={})


def test_goodput_is_what_was_answered_once_the_queue_had_its_time_to_fill() -> None:
    found = stage(Answer(3.5, 3.6, 429, "1"))
    assert found.goodput == 2.0  # three answers of two texts, from the first second to the fourth
    assert found.goodput_by_cpu == 4.0
    assert found.refused == 0.2
    assert found.latency(0.5) == 1.0
    assert found.latency(0.99, 429) == pytest.approx(0.1)
    assert found.faults() == []


@pytest.mark.parametrize(
    ("answer", "fault"),
    [
        (Answer(0, 1, 503, None), "status 503 instead of 200 or 429"),
        (Answer(0, 1, 0, None), "status 0 instead of 200 or 429"),
        (Answer(0, 1, 429, None), "a 429 with Retry-After None"),
        (Answer(0, 1, 429, "soon"), "a 429 with Retry-After soon"),
    ],
)
def test_unexpected_answers_are_faults(answer: Answer, fault: str) -> None:
    assert stage(answer).faults() == [fault]


def test_the_projects_page_has_a_place_for_the_report() -> None:
    assert [PAGE.read_text().count(marker) for marker in markers(COMMAND)] == [1, 1]


@pytest.fixture
def server(tiny_model: Path) -> Iterator[Server]:
    with Server("--model-id", str(tiny_model), "--max-concurrent-requests", "3") as running:
        running.wait_ready()
        yield running


def test_clients_that_do_not_wait_get_answers_or_refusals(server: Server) -> None:
    bodies = [{"inputs": ["a"] * rows} for rows in (1, 4)]  # the second one is computed in slices
    requests = [post("/embed", json.dumps(body).encode()) for body in bodies]

    async def scenario() -> Stage:
        clients, scraper = Clients(server.port, requests), Clients(server.port, [])
        try:
            found = await Watch(server, scraper).over(clients.offer(50, 0.4), 1, 0.4)
            assert (await clients.ask(get("/nope")))[0].startswith(b"HTTP/1.1 404")
        finally:
            clients.close()
            scraper.close()
        return found

    found = asyncio.run(scenario())
    assert len(found.answers) == 20
    assert [one.due for one in found.answers] == [number / 50 for number in range(20)]
    assert 200 in {one.status for one in found.answers}
    assert found.faults() == []
    assert found.most["permits"] <= 3
    assert found.most["resident"] > 0


def test_each_client_of_a_closed_loop_asks_again_and_again(server: Server) -> None:
    clients = Clients(server.port, [get("/livez")])

    async def scenario() -> list[Answer]:
        try:
            return await clients.saturate(2, 0.2)
        finally:
            clients.close()

    answers = asyncio.run(scenario())
    assert len(answers) > 2
    assert {one.status for one in answers} == {200}
