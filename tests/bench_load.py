"""The load of the bench: what `wrk` and a client with a clock get answered by a server.

Rates are texts a second of wall and of CPU time.
"""

import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Protocol
from urllib.request import Request, urlopen

from app.inference.plan import DtypeChoice
from tests.process import Server

BULK_ROWS = 32
MANY_ROWS = (8, 64, 512)  # over which the cost of a text is to stay flat
QUERIES_A_SECOND = 10  # while bulk requests run


@dataclass(frozen=True, slots=True)
class Rate:
    """Texts a second of wall time and of CPU time; the median latency of a request."""

    wall: float
    cpu: float
    median: str = ""


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
    """A server of its own, and the seconds it took to open its port."""
    started = time.perf_counter()
    flags = ["--dtype", dtype, "--max-client-batch-size", str(MANY_ROWS[-1]), "--log-level", "warn"]
    server = Server("--model-id", model_id, "--max-concurrent-requests", "4096", *flags)
    try:
        server.wait_ready()
        yield server, time.perf_counter() - started
    finally:
        server.stop()


def load(
    server: Running,
    texts: Sequence[str],
    rows: int,
    connections: int,
    seconds: float,
    dialect: Dialect = OURS,
) -> Rate:
    """Texts a second that `wrk` gets answered, with so many texts a request."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "load.lua"
        script.write_text(_lua(dialect.path, _bodies(texts, rows, dialect.field)))
        cpu_before = cpu_seconds(server)
        output = subprocess.run(
            [shutil.which("wrk") or "wrk", "-t1", f"-c{connections}", f"-d{seconds}", "--timeout", "60s", "--latency",
             "-s", str(script), server.url],
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        cpu_used = cpu_seconds(server) - cpu_before
    if "Non-2xx" in output:
        raise RuntimeError(f"the server refused requests:\n{output}")
    requests = _found(r"(\d+) requests in", output)
    wall = float(_found(r"Requests/sec:\s+([\d.]+)", output)) * rows
    return Rate(wall, int(requests) * rows / cpu_used, _found(r"\n\s+50%\s+(\S+)", output))


def all_of(server: Server, texts: Sequence[str], rows: int) -> Rate:
    """Texts a second until all are answered, with so many a request, over two connections."""
    groups = [texts[start : start + rows] for start in range(0, len(texts), rows)]

    def ask(group: Sequence[str]) -> float:
        begun = time.perf_counter()
        post(server, {"inputs": group})
        return time.perf_counter() - begun

    started, cpu_before = time.perf_counter(), cpu_seconds(server)
    with ThreadPoolExecutor(2) as pool:
        seconds = sorted(pool.map(ask, groups))
    wall, cpu = time.perf_counter() - started, cpu_seconds(server) - cpu_before
    return Rate(len(texts) / wall, len(texts) / cpu, f"{seconds[len(seconds) // 2]:.2f}s")


def mixed(server: Server, queries: Sequence[str], bulk: Sequence[str], seconds: float) -> str:
    """Queries at a fixed rate while bulk requests run: median and 99th percentile, in words."""
    due = [number / QUERIES_A_SECOND for number in range(int(seconds * QUERIES_A_SECOND))]

    def ask(number: int) -> float:
        time.sleep(max(0.0, started + due[number] - time.perf_counter()))
        post(server, {"inputs": queries[number % len(queries)]})
        return time.perf_counter() - started - due[number]

    with ThreadPoolExecutor(64) as pool:
        running = pool.submit(load, server, bulk, BULK_ROWS, 4, seconds + 1)
        started = time.perf_counter() + 0.5
        latencies = sorted(pool.map(ask, range(len(due))))
        rate = running.result().wall
    median, last = latencies[len(latencies) // 2], latencies[int(0.99 * len(latencies))]
    return (
        f"{QUERIES_A_SECOND} queries a second beside {rate:,.0f} passages a second: "
        f"median {1000 * median:.0f} ms, 99th percentile {1000 * last:.0f} ms"
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


def _bodies(texts: Sequence[str], rows: int, field: str) -> list[str]:
    groups = [texts[start : start + rows] for start in range(0, len(texts) - rows + 1, rows)]
    return [json.dumps({field: group[0] if rows == 1 else group}) for group in groups]


def cpu_seconds(server: Running) -> float:
    """User and system time of the server's process so far."""
    fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_megabytes(server: Running) -> float:
    """Resident memory of the server's process."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(_found(r"VmRSS:\s+(\d+) kB", status)) / 1000


def _found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    if match is None:
        raise RuntimeError(f"no {pattern} in:\n{text}")
    return match.group(1)


def _lua(path: str, bodies: Sequence[str]) -> str:
    """A script for wrk that sends the bodies in turn; long brackets quote JSON as it is."""
    quoted = ",\n".join(f"[==[{body}]==]" for body in bodies)
    return (
        f"local bodies = {{{quoted}}}\nlocal place = 0\n"
        "request = function()\n  place = place % #bodies + 1\n"
        f'  return wrk.format("POST", "{path}", {{["content-type"] = "application/json"}}, '
        "bodies[place])\nend\n"
    )
