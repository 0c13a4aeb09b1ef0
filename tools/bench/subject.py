"""Subjects of the bench: a server, a session or a library, with the loads it is measured under."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from app.proof.bounds import Agreement
from app.proof.compare import Answers, compare_vectors
from tools.bench.load import BULK_CONNECTIONS, BULK_ROWS, MANY_ROWS
from tools.bench.rate import Rate, together

CONNECTIONS = (1, 8, 32)
PACED = "a query every 50 ms"
BESIDE_BULK = "queries beside bulk"
ONE_CORE, ONE_CALLER, QUERIES = "queries, one core", "queries, one caller", "queries side by side"
PASSAGES = "passages in batches"
AROUND = "around the model"
_GROUP = BULK_ROWS  # texts per request where vectors are compared
_ALONE = 20  # one text in _ALONE is asked alone as well


def over(connections: int) -> str:
    """Return the name of a load."""
    return f"queries, {connections} connection{'' if connections == 1 else 's'}"


def in_bulk(rows: int, connections: int) -> str:
    """Return the name of a load."""
    return f"{rows} passages a request, {connections} connections"


BULK = in_bulk(BULK_ROWS, BULK_CONNECTIONS)
MANY = tuple(in_bulk(rows, 2) for rows in MANY_ROWS)
# In the order of a round: each load of a session is next to the server's load that it limits.
LOADS = (
    over(1), ONE_CALLER, ONE_CORE, PACED, over(8), QUERIES, over(32), AROUND, BULK, PASSAGES,
    *MANY, BESIDE_BULK,
)  # fmt: skip
# Slow loads are measured in every second round, and not in the warm-up.
LONG = (MANY[-1], BESIDE_BULK)
LIMITS: Mapping[str, str] = {  # the bare session's load that limits each load of a server
    over(1): ONE_CALLER,
    **{over(connections): QUERIES for connections in CONNECTIONS[1:]},
    **dict.fromkeys((BULK, *MANY), PASSAGES),
}


@dataclass
class Subject:
    """A subject of the bench; each load is measured by calling it."""

    name: str
    loads: Mapping[str, Callable[[], Rate]]
    agreement: Agreement | None = None  # with sentence-transformers in float32
    megabytes: Callable[[], float | None] = lambda: None  # resident now
    reused: Callable[[], int] = lambda: 0  # inputs so far whose row was cached or in flight
    ours: bool = False  # a server of this project
    serves: bool = False  # over HTTP
    parts: dict[str, list[Rate]] = field(default_factory=dict)  # measured so far

    def measure(self, load: str, *, counts: bool) -> None:
        """Measure a load, if the subject has it."""
        if load in self.loads:
            rate = self.loads[load]()
            if counts:
                self.parts.setdefault(load, []).append(rate)

    def rate(self, load: str) -> Rate | None:
        """Return its rate over all rounds, or None where it was not measured."""
        parts = self.parts.get(load)
        return together(parts) if parts else None


def compared(
    ask: Callable[[Sequence[str]], NDArray[np.float32]],
    texts: Sequence[str],
    expected: NDArray[np.float32],
) -> Agreement:
    """Compare vectors with the expected ones, asked for in groups and some of them alone."""
    places = range(0, len(texts), _ALONE)
    groups = [texts[start : start + _GROUP] for start in range(0, len(texts), _GROUP)]
    batched = np.concatenate([ask(group) for group in groups])
    alone = np.concatenate([ask([texts[place]]) for place in places])
    return compare_vectors(expected, Answers(batched, alone, places))
