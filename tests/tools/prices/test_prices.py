"""Every path that takes a body has its price, and the meter reads a server's cost."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tools.bench.report import markers
from tools.prices.__main__ import COMMAND, PAGE, Found
from tools.prices.bodies import Dialect
from tools.prices.genes import Genes
from tools.prices.meter import ANSWER_A_BYTE, CPU, CPU_A_BYTE, MEMORY, UNANSWERED, Cost, Meter
from tools.prices.routes import ALIASES, ROWS, SHAPES, dialect, posts


@pytest.fixture(scope="module")
def endpoints(tiny_model: Path) -> dict[str, Any]:
    return posts(str(tiny_model))


def test_every_route_has_a_row_or_is_another_name_of_one(endpoints: dict[str, Any]) -> None:
    assert {row.path for row in ROWS} | set(ALIASES) == set(endpoints)
    for alias, path in ALIASES.items():
        assert endpoints[alias].form.choose(b"{}") is endpoints[path].form.choose(b"{}")


def test_bodies_of_a_route_have_its_own_shape(endpoints: dict[str, Any]) -> None:
    assert {path: dialect(path, endpoints).shape for path in SHAPES} == SHAPES
    assert dialect("/v1/embeddings", endpoints).shape.name == "OpenAICompatRequest"
    instance = dialect("/vertex", endpoints).instance
    assert instance is not None
    assert instance.name == "EmbedRequest"


def test_every_bound_is_named_in_the_report() -> None:
    begin, end = markers(COMMAND)
    page = PAGE.read_text()
    report = page.split(begin)[1].split(end)[0]
    for row in ROWS:
        assert f"| `{row.path}`, {row.task} |" in report
        assert row.bound in report


def test_a_row_says_what_was_given_up(endpoints: dict[str, Any]) -> None:
    found = {
        CPU_A_BYTE: (Genes(form="ids"), Cost(100, 200, 0.05, 4_000, 0)),
        CPU: (Genes(options=4), Cost(1_000, UNANSWERED, 12.0, 0, 0)),
        ANSWER_A_BYTE: (Genes(), Cost(100, 200, 0.01, 4_000, 0)),
        MEMORY: (Genes(), Cost(100, 200, 0.01, 0, 7_000_000)),
    }
    one = Found(ROWS[0], Dialect(dialect("/embed", endpoints).shape), found)
    assert (
        one.prices() == f"| `/embed`, embedding | 500.0 | over 12.0 | 40 | 7 MB | {ROWS[0].bound} |"
    )
    assert "32 × 64 ids 1 (100 bytes: 200)" in one.bodies()
    assert "(1,000 bytes: given up)" in one.bodies()


@pytest.fixture(scope="module")
def meter(tiny_model: Path) -> Iterator[Meter]:
    with Meter(str(tiny_model), patience=60) as running:
        yield running


def test_the_meter_reads_what_a_request_costs(meter: Meter) -> None:
    short = meter.cost("/embed", b'{"inputs":"a"}')
    assert (short.status, short.request > 14, short.answer > 100) == (200, True, True)
    assert 0 < short.cpu < 1
    refused = meter.cost("/embed", b"{")
    assert refused.status == 400
    large = meter.cost("/tokenize", json.dumps({"inputs": "the cat " * 300}).encode())
    assert large.answer > 10 * large.request
    assert meter.cost("/nowhere", b"{}").status == 404
