"""The bench's tables: quality beside speed, and each figure beside its limit."""

from collections.abc import Iterator, Mapping, Sequence

from tools.bench.bare import SHAPES, Shape
from tools.bench.rate import Rate, lasting
from tools.bench.subject import (
    AROUND,
    BESIDE_BULK,
    BULK,
    CONNECTIONS,
    LIMITS,
    MANY,
    ONE_CALLER,
    ONE_CORE,
    PACED,
    PASSAGES,
    QUERIES,
    Subject,
    over,
)

ROADS = (ONE_CALLER, ONE_CORE)  # ways to run a lone query in the bare session
QUALITY = ("worst cosine", "ten nearest kept")


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """A table in Markdown; columns that are empty in every row are left out."""
    kept = [place for place in range(len(head)) if any(row[place] for row in rows)]
    for row in (head, ["---"] * len(head), *rows):
        cells = [row[place] for place in kept]
        rule = cells[:1] == ["---"]
        yield "|" + "|".join(cells) + "|" if rule else f"| {' | '.join(cells)} |"


def servers(subjects: Sequence[Subject]) -> Iterator[str]:
    """Texts a second of every server, followed by texts a CPU-second."""
    loads = (*map(over, CONNECTIONS), BULK)
    rows = [
        [one.name, *quality(one), *(speed(one.rate(load)) for load in loads), _memory(one)]
        for one in subjects
        if one.serves
    ]
    yield from table(["server", *QUALITY, *loads, "resident"], rows)


def models(subjects: Sequence[Subject]) -> Iterator[str]:
    """The same without a server: the model itself."""
    loads = (ONE_CORE, ONE_CALLER, QUERIES, PASSAGES)
    rows = [
        [one.name, *quality(one), *(speed(one.rate(load)) for load in loads)]
        for one in subjects
        if not one.serves
    ]
    yield from table(["without a server", *QUALITY, *loads], rows)


def latencies(subjects: Sequence[Subject], limits: Mapping[str, Subject]) -> Iterator[str]:
    """Latency of a query: alone, at a fixed pace, and beside bulk requests."""
    rows = []
    for one in subjects:
        alone, at_a_pace, beside = (one.rate(what) for what in (over(1), PACED, BESIDE_BULK))
        if at_a_pace is not None:
            road, best = best_road(limits.get(one.name))
            each = at_a_pace.cpu_each
            rows.append([
                one.name,
                "" if alone is None else alone.latency,
                "" if best is None else f"{lasting(best)}, {road.removeprefix('queries, ')}",
                _percentiles(at_a_pace),
                "" if each is None else lasting(each),
                _percentiles(beside),
            ])  # fmt: skip
    head = (
        "server", "a query after the other, median", "the bare session's best road",
        "a query every 50 ms: median, 99th percentile", "CPU of each",
        "ten queries a second beside bulk: median, 99th percentile",
    )  # fmt: skip
    yield from table(head, rows)


def shares(ours: Sequence[Subject], limits: Mapping[str, Subject]) -> Iterator[str]:
    """Texts a CPU-second of our servers, as shares of the bare session's."""
    loads = [load for load in (*map(over, CONNECTIONS), BULK, *MANY) if _any(ours, load)]
    rows = [
        [load, *(share(one.rate(load), limits[one.name].rate(LIMITS[load])) for one in ours)]
        for load in loads
    ]
    yield from table(["of the bare session's texts a CPU-second", *(o.name for o in ours)], rows)


def shapes(costs: Mapping[str, Mapping[Shape, tuple[float, float]]]) -> Iterator[str]:
    """Milliseconds of a run, and of the first of its shape, by precision."""
    rows = [
        [
            name,
            *(f"{1000 * found[shape][0]:.1f} ({1000 * found[shape][1]:.1f})" for shape in SHAPES),
        ]
        for name, found in costs.items()
    ]
    head = [
        "ms of a run (the first of its shape)",
        *(f"{rows}×{length}" for rows, length in SHAPES),
    ]
    yield from table(head, rows)


def around(subject: Subject) -> str:
    """Cost of a request besides the model."""
    rate = subject.rate(AROUND)
    assert rate is not None
    assert rate.cpu_each is not None
    return (
        f"Around the model: {1e6 * rate.cpu_each:,.0f} µs of CPU a request, of a model that costs "
        f"next to nothing, over 16 connections ({rate.wall:,.0f} requests a second)."
    )


def reused(ours: Sequence[Subject]) -> str:
    """Share of all inputs to our servers that were not computed."""
    found = sum(one.reused() for one in ours)
    return f"Inputs that no server of ours computed, since it knew an equal one: {found:,}."


def times(ours: Sequence[Subject], peers: Sequence[Subject]) -> Iterator[str]:
    """Speed of our servers as a multiple of each other server's."""
    loads = (over(CONNECTIONS[-1]), BULK)
    rows = [
        [f"{one.name} to {peer.name}", *(_times(one.rate(load), peer.rate(load)) for load in loads)]
        for one in ours
        for peer in peers
    ]
    if found := [row for row in rows if any(row[1:])]:
        yield from table(["times as many texts a second (a CPU-second)", *loads], found)


def quality(subject: Subject) -> tuple[str, str]:
    """Return the agreement of a subject's vectors in words; empty where they were not compared."""
    found = subject.agreement
    if found is None or found.neighbour_overlap is None:
        return "", ""
    return f"{found.worst_cosine:.7f}", f"{found.neighbour_overlap:.4f}"


def speed(rate: Rate | None) -> str:
    """Texts a second and, if it is known, a CPU-second."""
    if rate is None:
        return ""
    return f"{rate.wall:,.0f}" + ("" if rate.cpu is None else f" ({rate.cpu:,.0f})")


def share(rate: Rate | None, limit: Rate | None) -> str:
    """Texts a CPU-second as a share of the limit."""
    if rate is None or limit is None or not rate.cpu or not limit.cpu:
        return ""
    return f"{rate.cpu / limit.cpu:.2f}"


def best_road(bare: Subject | None) -> tuple[str, float | None]:
    """Return the fastest way of a lone query through the bare session, and its median."""
    rates = {} if bare is None else {road: bare.rate(road) for road in ROADS}
    found = {
        road: rate.median
        for road, rate in rates.items()
        if rate is not None and rate.median is not None
    }
    if not found:
        return "", None
    road = min(found, key=found.__getitem__)
    return road, found[road]


def _percentiles(rate: Rate | None) -> str:
    if rate is None or rate.median is None:
        return ""
    return f"{lasting(rate.median)}, {lasting(rate.at(0.99))}"


def _memory(subject: Subject) -> str:
    megabytes = subject.megabytes()
    return "" if megabytes is None else f"{megabytes:,.0f} MB"


def _any(subjects: Sequence[Subject], load: str) -> bool:
    return any(one.rate(load) is not None for one in subjects)


def _times(one: Rate | None, other: Rate | None) -> str:
    """Ratio of texts a second, and of texts a CPU-second."""
    if one is None or other is None:
        return ""
    found = f"{one.wall / other.wall:.1f}"
    return found if not one.cpu or not other.cpu else f"{found} ({one.cpu / other.cpu:.1f})"
