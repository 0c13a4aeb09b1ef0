"""The loads of each kind of subject, over texts that are asked only once."""

import json
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tools.bench.bare import Bare
from tools.bench.load import (
    BULK_CONNECTIONS,
    BULK_ROWS,
    MANY_ROWS,
    OURS,
    Dialect,
    Running,
    all_of,
    load,
    post,
)
from tools.bench.loads.pacing import PACE, QUERIES_A_SECOND, beside_bulk, paced
from tools.bench.loads.texts import CHUNK, PASSAGE_WORDS, QUERY_WORDS, Fresh, by_length
from tools.bench.peers.child import Child
from tools.bench.rate import Rate
from tools.bench.subject import (
    BESIDE_BULK,
    BULK,
    CONNECTIONS,
    MANY,
    ONE_CALLER,
    ONE_CORE,
    PACED,
    PASSAGES,
    QUERIES,
    over,
)

Loads = dict[str, Callable[[], Rate]]
PACED_SECONDS, BESIDE_SECONDS = 5, 5  # per round; a percentile needs many queries
# The lowest rates to expect: a machine that was busy a minute ago may be idle now.
_QUERIES_A_SECOND, _PASSAGES_A_SECOND = 2500, 125
_TIMES = 3  # texts for this multiple of the highest rate expected
_TRIES, _MOST_TEXTS = 3, 100_000  # per measurement
_BULK_TEXTS = 128  # per round


class Supply:
    """The texts of one subject, equal to those of all others, and its highest rates so far."""

    def __init__(self, suits: Callable[[str], bool]) -> None:
        self.queries = Fresh(QUERY_WORDS, seed=1)
        self.bulk = Fresh(PASSAGE_WORDS, seed=2, suits=suits)
        self._fastest: dict[str, float] = {}  # texts a second, by load

    def spend(
        self, what: str, texts: Fresh, seconds: float, measure: Callable[[Sequence[str]], Rate]
    ) -> Rate:
        """Measure with more texts than the time allows, and use up those that were asked.

        If texts run out, as for a model without layers, measure again with more.

        Raises: RuntimeError where they run out each time.
        """
        least = _QUERIES_A_SECOND if texts is self.queries else _PASSAGES_A_SECOND
        for _ in range(_TRIES):
            a_second = max(least, self._fastest.get(what, 0))
            ahead = texts.ahead(min(_MOST_TEXTS, 256 + int(_TIMES * seconds * a_second)))
            rate = measure(ahead)
            spent = rate.texts + CHUNK  # some were in flight, or asked out of order
            texts.take(min(spent, len(ahead)))
            self._fastest[what] = max(rate.wall, self._fastest.get(what, 0))
            if spent <= len(ahead):
                return rate
        raise RuntimeError(f"{what}: {len(ahead)} texts were too few, or asked twice")


def of_server(
    server: Running, supply: Supply, seconds: float, dialect: Dialect = OURS, *, quick: bool = False
) -> Loads:
    """Return the loads of every server."""

    def queries(connections: int) -> Rate:
        return supply.spend(
            over(connections), supply.queries, seconds,
            lambda texts: load(server, texts, connections, seconds, dialect),
        )  # fmt: skip

    def at_a_pace() -> Rate:
        return paced(server, supply.queries.take(int(PACED_SECONDS / PACE)), dialect)

    used = CONNECTIONS[::2] if quick else CONNECTIONS
    bulk = partial(_bulk, server, supply, BULK_ROWS, BULK_CONNECTIONS, dialect)
    return {
        **{over(connections): partial(queries, connections) for connections in used},
        PACED: at_a_pace,
        BULK: bulk,
    }


def of_ours(server: Running, supply: Supply) -> Loads:
    """Return the further loads of our servers."""

    def beside() -> Rate:
        texts = supply.queries.take(BESIDE_SECONDS * QUERIES_A_SECOND)
        return beside_bulk(server, texts, supply.bulk)

    requests = zip(MANY, MANY_ROWS, strict=True)
    return {
        **{name: partial(_bulk, server, supply, rows, 2, OURS) for name, rows in requests},
        BESIDE_BULK: beside,
    }


def of_bare(bare: Bare, one_core: Bare, supply: Supply, seconds: float) -> Loads:
    """Return the loads of the bare session; `one_core` is the same session on one core."""

    def lone(what: str, session: Bare, callers: int) -> Rate:
        return supply.spend(
            what, supply.queries, seconds,
            lambda texts: session.rate(([text] for text in texts), seconds, callers),
        )  # fmt: skip

    def passages() -> Rate:
        return supply.spend(
            PASSAGES, supply.bulk, 2 * seconds,
            lambda texts: bare.rate(bare.batches(texts), 2 * seconds, bare.callers),
        )  # fmt: skip

    return {
        ONE_CALLER: partial(lone, ONE_CALLER, bare, 1),
        ONE_CORE: partial(lone, ONE_CORE, one_core, 1),
        QUERIES: partial(lone, QUERIES, bare, bare.lone_callers),
        PASSAGES: passages,
    }


def of_child(child: Child, one_core: Child | None, supply: Supply, seconds: float) -> Loads:
    """Return the loads of a library; `one_core` is the same library on one core."""

    def lone(what: str, library: Child) -> Rate:
        return supply.spend(
            what, supply.queries, seconds, lambda texts: library.rate(texts, 1, seconds)
        )

    def passages() -> Rate:
        return supply.spend(
            PASSAGES, supply.bulk, 2 * seconds,
            lambda texts: child.rate(by_length(texts), BULK_ROWS, 2 * seconds),
        )  # fmt: skip

    found: Loads = {ONE_CALLER: partial(lone, ONE_CALLER, child), PASSAGES: passages}
    if one_core is not None:
        found[ONE_CORE] = partial(lone, ONE_CORE, one_core)
    return found


def vectors_of(
    server: Running, dialect: Dialect = OURS
) -> Callable[[Sequence[str]], NDArray[np.float32]]:
    """Return a function that asks a server for vectors, (N, D), in one request."""

    def ask(texts: Sequence[str]) -> NDArray[np.float32]:
        found: Any = json.loads(post(server, {dialect.field: list(texts)}, dialect.path))
        if isinstance(found, dict):  # OpenAI's shape
            found = [
                one["embedding"] for one in sorted(found["data"], key=lambda one: one["index"])
            ]
        return np.array(found, np.float32)

    return ask


def _bulk(server: Running, supply: Supply, rows: int, connections: int, dialect: Dialect) -> Rate:
    """Return enough texts to keep all connections busy."""
    texts = supply.bulk.take(max(_BULK_TEXTS, rows * connections))
    return all_of(server, texts, rows, connections, dialect)
