"""Queries at a fixed pace, as a client sees them: latency counts from when a query was due."""

import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

from tools.bench.load import (
    BULK_CONNECTIONS,
    BULK_ROWS,
    OURS,
    Dialect,
    Running,
    cpu_seconds,
    cpu_used,
    post,
)
from tools.bench.loads.keepalive import Connection
from tools.bench.loads.texts import Fresh
from tools.bench.rate import Rate

PACE = 0.05  # seconds between two queries of one client
QUERIES_A_SECOND = 10  # while bulk requests run
_AHEAD = 2048  # passages made in advance, so that making them takes no time from the measurement


def paced(server: Running, texts: Sequence[str], dialect: Dialect = OURS) -> Rate:
    """Send a query every 50 ms on one connection, until all texts are answered."""
    latencies = []
    with closing(Connection(server.url)) as connection:
        started, cpu_before = time.perf_counter(), cpu_used(server)
        for place, text in enumerate(texts):
            due = started + PACE * place
            time.sleep(max(0.0, due - time.perf_counter()))
            connection.post(dialect.path, dialect.body(text))
            latencies.append(time.perf_counter() - due)
    wall = time.perf_counter() - started
    cpu = None if cpu_before is None else cpu_seconds(server) - cpu_before
    return Rate(len(texts), wall, cpu, latencies=tuple(latencies))


def beside_bulk(server: Running, texts: Sequence[str], bulk: Fresh) -> Rate:
    """Send ten queries a second, each on its own connection, while bulk requests run."""
    over = threading.Event()
    bulk.ahead(_AHEAD)

    def ask(place: int) -> float:
        due = started + place / QUERIES_A_SECOND
        time.sleep(max(0.0, due - time.perf_counter()))
        post(server, {OURS.field: texts[place]})
        return time.perf_counter() - due

    def keep_busy(_: int) -> None:
        while not over.is_set():
            post(server, {OURS.field: bulk.take(BULK_ROWS)})

    with ThreadPoolExecutor(64 + BULK_CONNECTIONS) as pool:
        busy = [pool.submit(keep_busy, number) for number in range(BULK_CONNECTIONS)]
        started = time.perf_counter() + 0.5
        latencies = tuple(pool.map(ask, range(len(texts))))
        wall = time.perf_counter() - started
        over.set()
    for each in busy:
        each.result()
    return Rate(len(texts), wall, None, latencies=latencies)
