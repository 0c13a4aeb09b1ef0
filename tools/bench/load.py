"""The load of the bench: texts as fast as a server answers them, over several connections."""

import json
import os
import re
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Protocol
from urllib.request import Request, urlopen

from app.model.names import DtypeChoice
from tools.bench.loads import keepalive
from tools.bench.rate import Rate
from tools.process import Server

BULK_ROWS, BULK_CONNECTIONS = 32, 4
MANY_ROWS = (8, 64, 512)  # rows per request, over which the cost of a text should stay flat
UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1, "m": 60}


class Running(Protocol):
    """A server under load; its process is None where it runs elsewhere."""

    @property
    def process(self) -> subprocess.Popen[str] | None: ...

    @property
    def url(self) -> str: ...


class Dialect(NamedTuple):
    """The format of a server's requests."""

    path: str
    field: str  # of the body, for the texts

    def body(self, texts: str | Sequence[str]) -> bytes:
        """Return the body of a request."""
        return json.dumps({self.field: texts}).encode()


OURS, OPENAI = Dialect("/embed", "inputs"), Dialect("/v1/embeddings", "input")


@contextmanager
def serving(model_id: str, dtype: DtypeChoice) -> Iterator[tuple[Server, float]]:
    """Start a server and warm it up; yield it and the seconds until its port was open."""
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
    """Send requests of one text for a time, with `wrk`, which takes little CPU time.

    `wrk` starts over when it runs out of texts. Without it a client in
    Python asks, which takes CPU time itself, and stops when it runs out of texts.
    """
    bodies = [dialect.body(text) for text in texts]
    cpu_before = cpu_used(server)
    if (wrk := shutil.which("wrk")) is None:
        found = keepalive.load(server.url, dialect.path, bodies, connections, seconds)
    else:
        found = _wrk(wrk, server.url + dialect.path, bodies, connections, seconds)
    texts_answered, wall, median = found
    return Rate(texts_answered, wall, _since(server, cpu_before), median)


def all_of(
    server: Running,
    texts: Sequence[str],
    rows: int,
    connections: int,
    dialect: Dialect = OURS,
) -> Rate:
    """Measure until all texts are answered, in requests of several texts.

    With a fixed time, long requests that are unanswered at its end would not count.
    """
    groups = [texts[start : start + rows] for start in range(0, len(texts), rows)]

    def ask(group: Sequence[str]) -> float:
        begun = time.perf_counter()
        post(server, {dialect.field: group}, dialect.path)
        return time.perf_counter() - begun

    started, cpu_before = time.perf_counter(), cpu_used(server)
    with ThreadPoolExecutor(connections) as pool:
        median = statistics.median(pool.map(ask, groups))
    wall = time.perf_counter() - started
    return Rate(len(texts), wall, _since(server, cpu_before), median)


def post(server: Running, body: object, path: str = OURS.path) -> bytes:
    """Return the answer to a POST."""
    request = Request(  # noqa: S310  # a server that the operator named, or our own
        server.url + path, json.dumps(body).encode(), {"content-type": "application/json"}
    )
    with urlopen(request, timeout=600) as answer:  # noqa: S310
        content: bytes = answer.read()
    return content


def get(server: Running, path: str) -> dict[str, Any]:
    """Return the JSON of a path."""
    with urlopen(server.url + path, timeout=60) as answer:  # noqa: S310
        found: dict[str, Any] = json.load(answer)
    return found


def cpu_seconds(server: Running) -> float:
    """Return the user and system time of the server's process so far."""
    assert server.process is not None, "it runs elsewhere"
    fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def cpu_used(server: Running) -> float | None:
    """The same, or None where the server runs elsewhere."""
    return None if server.process is None else cpu_seconds(server)


def resident_megabytes(server: Running) -> float | None:
    """Resident memory of the server's process; None where it runs elsewhere."""
    if server.process is None:
        return None
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    [kilobytes] = _found(r"VmRSS:\s+(\d+) kB", status)
    return int(kilobytes) / 1000


def reused_rows(server: Running) -> int:
    """Return how many inputs our server has not computed because it knew an equal one."""
    with urlopen(server.url + "/metrics", timeout=60) as answer:  # noqa: S310
        text = answer.read().decode()
    counted = re.findall(r"^te_(?:cache_hits|rows_shared) (\d+)$", text, re.MULTILINE)
    return sum(map(int, counted))


def _since(server: Running, before: float | None) -> float | None:
    return None if before is None else cpu_seconds(server) - before


def _wrk(
    wrk: str, url: str, bodies: Sequence[bytes], connections: int, seconds: float
) -> tuple[int, float, float]:
    """Run wrk; return the number of answers, the seconds they took, and their median."""
    with tempfile.TemporaryDirectory() as folder:
        script, lines = Path(folder) / "load.lua", Path(folder) / "bodies"
        lines.write_bytes(b"\n".join(bodies) + b"\n")
        script.write_text(_LUA.replace("BODIES", str(lines)))
        output = subprocess.run(
            [wrk, "-t1", f"-c{connections}", f"-d{max(1, round(seconds))}",
             "--timeout", "60s", "--latency", "-s", str(script), url],
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
    if "Non-2xx" in output:
        raise RuntimeError(f"the server refused requests:\n{output}")
    [requests] = _found(r"(\d+) requests in", output)
    [a_second] = _found(r"Requests/sec:\s+([\d.]+)", output)
    median, unit = _found(r"\n\s+50%\s+([\d.]+)([a-z]+)", output)
    return int(requests), int(requests) / float(a_second), float(median) * UNITS[unit]


def _found(pattern: str, text: str) -> tuple[str, ...]:
    match = re.search(pattern, text)
    if match is None:
        raise RuntimeError(f"no {pattern} in:\n{text}")
    return match.groups()


# A script for wrk that sends the lines of a file in turn.
_LUA = """local bodies, place = {}, 0
for line in io.lines("BODIES") do bodies[#bodies + 1] = line end
request = function()
  place = place % #bodies + 1
  return wrk.format("POST", nil, {["content-type"] = "application/json"}, bodies[place])
end
"""
