"""Measured: CPU time of requests on a replica of one core, for a mix of queries and passages."""

import json
import time
from datetime import date
from pathlib import Path
from typing import Any

from app.inference.providers import machine
from tools.bench.loads.texts import PASSAGE_WORDS, QUERY_WORDS, Fresh
from tools.process import Server

STORED = Path(__file__).with_name("measured.json")
REQUESTS = 500
PASSAGES = 32  # per request
# Linux has a clock for each process, by number (CPUCLOCK_SCHED of posix-timers.h): in nanoseconds,
# where /proc counts hundredths of a second.
_SCHEDULED = 2
EVERY = 10  # one request in EVERY holds passages, the others a query


def stored() -> dict[str, Any]:
    """Return the last measurement: `about`, and the `seconds` of each request, sorted."""
    found: dict[str, Any] = json.loads(STORED.read_text())
    return found


def measure(model_id: str) -> dict[str, Any]:
    """Send requests one by one to a server; return the CPU time that its process spent on each.

    On a core of its own a replica would take as long, however busy this machine is.
    """
    with Server("--model-id", model_id, "--provider", "cpu", "--threads", "1") as server:
        server.wait_ready()
        dtype = server.get("/info").json["model_dtype"]
        queries, passages = Fresh(QUERY_WORDS, 1), Fresh(PASSAGE_WORDS, 2)
        found = []
        for number in range(-EVERY, REQUESTS):  # the first ones warm up
            texts = passages.take(PASSAGES) if number % EVERY == 0 else queries.take(1)
            before = _cpu_seconds(server.process.pid)
            assert server.post("/embed", {"inputs": texts}).status == 200
            if number >= 0:
                found.append(_cpu_seconds(server.process.pid) - before)
    about = (
        f"{model_id} on {machine.describe()}, cpu {dtype}, --threads 1, {date.today():%d %B %Y}: "
        f"{REQUESTS} requests, one in {EVERY} of {PASSAGES} passages, the others queries"
    )
    return {"about": about, "seconds": [round(one, 5) for one in sorted(found)]}


def _cpu_seconds(pid: int) -> float:
    """Return the CPU time of all threads of a process, ended ones included."""
    return time.clock_gettime((~pid << 3) | _SCHEDULED)
