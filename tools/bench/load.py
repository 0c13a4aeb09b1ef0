"""The load of the bench: what `wrk` and a client with a clock get answered by a server."""

import json
import os
import re
import shutil
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol
from urllib.request import Request, urlopen

from app.model.names import DtypeChoice
from tools.bench.rate import Rate
from tools.process import Server

BULK_ROWS, BULK_CONNECTIONS = 32, 4
MANY_ROWS = (8, 64, 512)  # over which the cost of a text is to stay flat
UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1, "m": 60}
QUERIES_A_SECOND = 10  # while bulk requests run


class Running(Protocol):
    """A server under load."""

    process: subprocess.Popen[str]

    @property
    def url(self) -> str: ...


class Dialect(NamedTuple):
    """How texts are asked about."""

    path: str
    field: str  # of the body


OURS = Dialect("/embed", "inputs")


@contextmanager
def serving(model_id: str, dtype: DtypeChoice) -> Iterator[tuple[Server, float]]:
    """A server of its own that has nothing left to learn, and how soon its port was open."""
    started = time.perf_counter()
    flags = ["--dtype", dtype, "--max-client-batch-size", str(MANY_ROWS[-1]), "--log-level", "warn"]
    server = Server("--model-id", model_id, "--max-concurrent-requests", "4096", *flags)
    try:
        server.wait_ready()
        ready_seconds = time.perf_counter() - started
        server.wait_warm()
        yield server, ready_seconds
    finally:
        server.stop()


def load(
    server: Running,
    texts: Sequence[str],
    connections: int,
    seconds: float,
    dialect: Dialect = OURS,
) -> Rate:
    """What `wrk` gets answered in that time, one text a request."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "load.lua"
        script.write_text(_lua(dialect, texts))
        cpu_before = cpu_seconds(server)
        output = subprocess.run(
            [shutil.which("wrk") or "wrk", "-t1", f"-c{connections}", f"-d{seconds:.0f}",
             "--timeout", "60s", "--latency", "-s", str(script), server.url],
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        cpu_used = cpu_seconds(server) - cpu_before
    if "Non-2xx" in output:
        raise RuntimeError(f"the server refused requests:\n{output}")
    [requests] = _found(r"(\d+) requests in", output)
    [a_second] = _found(r"Requests/sec:\s+([\d.]+)", output)
    median, unit = _found(r"\n\s+50%\s+([\d.]+)([a-z]+)", output)
    return Rate(
        int(requests), int(requests) / float(a_second), cpu_used, float(median) * UNITS[unit]
    )


def all_of(
    server: Running,
    texts: Sequence[str],
    rows: int,
    connections: int,
    dialect: Dialect = OURS,
) -> Rate:
    """What it takes until all texts are answered, so many a request.

    Where a request takes seconds, what a fixed time leaves unanswered would count for nothing.
    """
    groups = [texts[start : start + rows] for start in range(0, len(texts), rows)]

    def ask(group: Sequence[str]) -> float:
        begun = time.perf_counter()
        post(server, {dialect.field: group}, dialect.path)
        return time.perf_counter() - begun

    started, cpu_before = time.perf_counter(), cpu_seconds(server)
    with ThreadPoolExecutor(connections) as pool:
        median = statistics.median(pool.map(ask, groups))
    wall = time.perf_counter() - started
    return Rate(len(texts), wall, cpu_seconds(server) - cpu_before, median)


def mixed(server: Server, queries: Sequence[str], bulk: Sequence[str], seconds: float) -> str:
    """Queries at a fixed rate while bulk requests run: median and 99th percentile, in words."""
    due = [number / QUERIES_A_SECOND for number in range(int(seconds * QUERIES_A_SECOND))]
    over = threading.Event()

    def ask(number: int) -> float:
        time.sleep(max(0.0, started + due[number] - time.perf_counter()))
        post(server, {"inputs": queries[number % len(queries)]})
        return time.perf_counter() - started - due[number]

    def keep_busy(first: int) -> None:
        while not over.is_set():
            post(server, {"inputs": bulk[first : first + BULK_ROWS]})

    with ThreadPoolExecutor(64 + BULK_CONNECTIONS) as pool:
        busy = [pool.submit(keep_busy, BULK_ROWS * each) for each in range(BULK_CONNECTIONS)]
        started = time.perf_counter() + 0.5
        latencies = sorted(pool.map(ask, range(len(due))))
        over.set()
    for each in busy:
        each.result()
    median, last = statistics.median(latencies), latencies[int(0.99 * len(latencies))]
    return (
        f"{QUERIES_A_SECOND} queries a second beside {BULK_CONNECTIONS} clients with {BULK_ROWS} "
        f"passages a request: median {1000 * median:.0f} ms, 99th percentile {1000 * last:.0f} ms"
    )


def post(server: Running, body: object, path: str = OURS.path) -> bytes:
    """The answer of a path."""
    request = Request(  # noqa: S310  # our own server
        server.url + path, json.dumps(body).encode(), {"content-type": "application/json"}
    )
    with urlopen(request, timeout=600) as answer:  # noqa: S310
        content: bytes = answer.read()
    return content


def get(server: Running, path: str) -> dict[str, Any]:
    """The JSON of a path."""
    with urlopen(server.url + path, timeout=60) as answer:  # noqa: S310
        found: dict[str, Any] = json.load(answer)
    return found


def cpu_seconds(server: Running) -> float:
    """User and system time of the server's process so far."""
    fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_megabytes(server: Running) -> float:
    """Resident memory of the server's process."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    [kilobytes] = _found(r"VmRSS:\s+(\d+) kB", status)
    return int(kilobytes) / 1000


def _found(pattern: str, text: str) -> tuple[str, ...]:
    match = re.search(pattern, text)
    if match is None:
        raise RuntimeError(f"no {pattern} in:\n{text}")
    return match.groups()


def _lua(dialect: Dialect, texts: Sequence[str]) -> str:
    """A script for wrk that asks about the texts in turn; long brackets quote JSON as it is."""
    bodies = (json.dumps({dialect.field: text}) for text in texts)
    quoted = ",\n".join(f"[==[{body}]==]" for body in bodies)
    return (
        f"local bodies = {{{quoted}}}\nlocal place = 0\n"
        "request = function()\n  place = place % #bodies + 1\n"
        f'  return wrk.format("POST", "{dialect.path}", {{["content-type"] = "application/json"}}, '
        "bodies[place])\nend\n"
    )
