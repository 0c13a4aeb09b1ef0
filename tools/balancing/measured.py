"""Measured: how long requests take a replica of one core, of a mix of queries and passages."""

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
PASSAGES = 32  # of a request
# Linux has a clock for each process, by number (CPUCLOCK_SCHED of posix-timers.h): in nanoseconds,
# where /proc counts hundredths of a second.
_SCHEDULED = 2
EVERY = 10  # every so many requests is one of passages, the others are queries


def stored() -> dict[str, Any]:
    """What was measured last: `about` and `seconds` of each request, in order of size."""
    found: dict[str, Any] = json.loads(STORED.read_text())
    return found


def measure(model_id: str) -> dict[str, Any]:
    """Ask a server request by request; return what each took of its process's CPU time.

    That is what a replica takes that has its core for itself, also where others take part of it.
    """
    with Server("--model-id", model_id, "--provider", "cpu", "--threads", "1") as server:
        server.wait_ready()
        dtype = server.get("/info").json["model_dtype"]
        queries, passages = Fresh(QUERY_WORDS, 1), Fresh(PASSAGE_WORDS, 2)
        found = []
        for number in range(-EVERY, REQUESTS):  # the first are not counted
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
    """What all threads of a process have run, those that have ended as well."""
    return time.clock_gettime((~pid << 3) | _SCHEDULED)
