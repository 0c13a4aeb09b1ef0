"""The bench's tables: the content of cells, and omitted columns."""

import pytest

from app.proof.bounds import Agreement
from tools.bench import tables
from tools.bench.bare import SHAPES
from tools.bench.rate import Rate
from tools.bench.subject import (
    AROUND,
    BESIDE_BULK,
    BULK,
    MANY,
    ONE_CALLER,
    ONE_CORE,
    PACED,
    PASSAGES,
    QUERIES,
    Subject,
    over,
)

CLOSE = Agreement(0.99995, 0.99999, 1e-3, 1.0, neighbour_overlap=0.9875)


def subject(name: str, rates: dict[str, Rate], **facts: object) -> Subject:
    """Return a subject that was measured once."""
    parts = {load: [rate] for load, rate in rates.items()}
    return Subject(name, {}, parts=parts, **facts)  # type: ignore[arg-type]


OURS = subject(
    "cpu int8",
    {
        over(1): Rate(100, 1, 2, 0.008),
        over(32): Rate(180, 1, 1.5, 0.2),
        BULK: Rate(64, 2, 4, 3.0),
        PACED: Rate(4, 1, 0.02, latencies=(0.01, 0.02, 0.02, 0.5)),
        BESIDE_BULK: Rate(2, 1, None, latencies=(0.1, 0.3)),
    },
    agreement=CLOSE,
    ours=True,
    serves=True,
    megabytes=lambda: 1234.4,
)
BARE = subject(
    "bare session, cpu int8",
    {
        ONE_CALLER: Rate(125, 1, 1, 0.006),
        ONE_CORE: Rate(125, 1, 1, 0.0055),
        QUERIES: Rate(200, 1, 2),
        PASSAGES: Rate(40, 1, 2),
    },
)
PEER = subject("peer", {over(32): Rate(90, 1, None, 0.4)}, serves=True)
LIMITS = {"cpu int8": BARE}


def cells(line: str) -> list[str]:
    """Return the cells of a row."""
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_a_table_leaves_out_empty_columns() -> None:
    assert list(tables.table(["a", "b", "c"], [["1", "", "3"], ["4", "", ""]])) == [
        "| a | c |",
        "|---|---|",
        "| 1 | 3 |",
        "| 4 |  |",
    ]


def test_servers_stand_with_quality_beside_speed() -> None:
    head, _, *rows = tables.servers([OURS, BARE, PEER])
    assert cells(head) == [
        "server", "worst cosine", "ten nearest kept", over(1), over(32), BULK, "resident",
    ]  # fmt: skip
    assert [cells(row) for row in rows] == [
        ["cpu int8", "0.9999500", "0.9875", "100 (50)", "180 (120)", "32 (16)", "1,234 MB"],
        ["peer", "", "", "", "90", "", ""],
    ]


def test_models_without_a_server_have_their_own_table() -> None:
    head, _, row = tables.models([OURS, BARE, PEER])
    assert cells(head) == ["without a server", ONE_CORE, ONE_CALLER, QUERIES, PASSAGES]
    assert cells(row) == [
        "bare session, cpu int8", "125 (125)", "125 (125)", "200 (100)", "40 (20)",
    ]  # fmt: skip


def test_a_lone_query_stands_beside_the_bare_sessions_best_road() -> None:
    _, _, row = tables.latencies([OURS, BARE, PEER], LIMITS)
    assert cells(row) == [
        "cpu int8", "8.00 ms", "5.50 ms, one core", "20.00 ms, 500.00 ms", "5.00 ms",
        "200.00 ms, 300.00 ms",
    ]  # fmt: skip


def test_shares_are_of_what_the_bare_session_does_of_the_same() -> None:
    head, _, *rows = tables.shares([OURS], LIMITS)
    assert cells(head)[1:] == ["cpu int8"]
    assert [cells(row) for row in rows] == [[over(1), "0.40"], [over(32), "1.20"], [BULK, "0.80"]]
    assert not any(MANY[0] in row for row in rows)


def test_a_shape_has_its_usual_time_and_that_of_its_first_run() -> None:
    costs = {"cpu int8": dict.fromkeys(SHAPES, (0.0021, 0.01))}
    head, _, row = tables.shapes(costs)
    assert cells(head)[1:] == ["1×16", "4×16", "16×8", "8×32", "8×128"]
    assert cells(row) == ["cpu int8", *["2.1 (10.0)"] * 5]


def test_the_cost_around_the_model_is_shown_per_request() -> None:
    line = tables.around(subject(AROUND, {AROUND: Rate(2000, 2, 1.0)}))
    assert line.startswith("Around the model: 500 µs of CPU a request")
    assert line.endswith("(1,000 requests a second).")


def test_our_speed_is_a_multiple_of_each_peer_s() -> None:
    seen = subject("seen", {BULK: Rate(8, 1, 1)}, serves=True)
    head, _, *rows = tables.times([OURS], [PEER, seen, subject("unseen", {})])
    assert cells(head)[1:] == [over(32), BULK]
    assert [cells(row) for row in rows] == [
        ["cpu int8 to peer", "2.0", ""],
        ["cpu int8 to seen", "", "4.0 (2.0)"],
    ]


@pytest.mark.parametrize(
    ("rate", "told"), [(None, ""), (Rate(12344, 10, 493.76), "1,234 (25)"), (Rate(9, 1, None), "9")]
)
def test_a_speed_is_of_wall_and_behind_it_of_cpu_time(rate: Rate | None, told: str) -> None:
    assert tables.speed(rate) == told


def test_reused_rows_are_counted_over_all_servers() -> None:
    known = [subject(name, {}, reused=lambda: 600) for name in ("one", "two")]
    assert tables.reused([*known, subject("three", {})]).endswith("an equal one: 1,200.")
