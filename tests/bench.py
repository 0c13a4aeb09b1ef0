"""`make bench`: the server beside the bare session, the same texts, in one run.

Prints the time from process start to an open port, resident memory, and texts a second of wall
and of CPU time: short queries one by one over 1 and 32 connections, bulk requests of 32 passages
over 4. The bare session is the limit: the same graph in this process, fed by a loop. The load
comes from `wrk`, which costs next to nothing; without it the bench says how to get it.
"""

import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from app.inference import machine, repository
from app.inference.batch import TokenizedInput, collate
from app.inference.manifest import SENTENCE_EMBEDDING, Manifest
from app.inference.providers import Wanted
from app.inference.session import Session, plans
from app.inference.tokenization import Tokenization
from tests.process import Server
from tests.texts import passages

SECONDS = 8
BULK_ROWS = 32
RUN_ROWS = 16  # the bare session's batches: the size that moved most tokens a second


@dataclass(frozen=True, slots=True)
class Rate:
    """Texts a second of wall time and of CPU time; the median latency of a request."""

    wall: float
    cpu: float
    median: str = ""

    def row(self, name: str) -> str:
        return f"| {name} | {self.wall:,.0f} | {self.cpu:,.0f} | {self.median} |"


def main(model_id: str) -> int:
    """Measure one exported model; the exit code."""
    if shutil.which("wrk") is None:
        print("make bench needs wrk: apt-get install wrk", file=sys.stderr)  # noqa: T201
        return 1
    folder = repository.find(model_id, None, Path("models"))
    if folder is None:
        print(f"{model_id} is not exported: make export MODEL_ID={model_id}", file=sys.stderr)  # noqa: T201
        return 1
    for line in report(model_id, folder):
        print(line, flush=True)  # noqa: T201  # what it is for
    return 0


def report(model_id: str, folder: Path) -> Iterator[str]:
    """The lines of the report, each as soon as it is measured."""
    queries = passages(400, longest_words=25, seed=1)[:300]
    bulk = [one for one in passages(900, longest_words=120, seed=2) if one.count(" ") >= 60]
    yield f"{model_id} on {machine.describe()}, {machine.usable_cores()} cores\n"
    yield "| what | texts a second | texts a CPU-second | median latency |\n|---|---|---|---|"
    yield bare(folder, queries, rows=1).row("bare session, queries one by one")
    yield bare(folder, bulk, rows=RUN_ROWS).row(f"bare session, passages in batches of {RUN_ROWS}")
    with serving(model_id) as (server, ready_seconds):
        started = resident_megabytes(server)
        yield load(server, queries, 1, 1).row("server, queries, 1 connection")
        yield load(server, queries, 1, 32).row("server, queries, 32 connections")
        yield load(server, bulk, BULK_ROWS, 4).row(
            f"server, {BULK_ROWS} passages a request, 4 connections"
        )
        loaded = resident_megabytes(server)
    yield (
        f"\nready {ready_seconds:.2f} s after process start; resident {started:.0f} MB, "
        f"{loaded:.0f} MB after the load"
    )


def bare(folder: Path, texts: Sequence[str], rows: int) -> Rate:
    """Tokenize and run batches of like length in this process, for some seconds."""
    manifest = Manifest.read(folder)
    tokenization = Tokenization.load(folder, manifest)
    session = Session.load(folder, manifest, plans(Wanted(), manifest.task)[0])
    ordered = sorted(texts, key=len) if rows > 1 else list(texts)
    groups = [ordered[start : start + rows] for start in range(0, len(ordered), rows)]

    def run(group: Sequence[str]) -> int:
        inputs: Sequence[TokenizedInput] = tokenization.encode_now(group)
        session.run(collate(inputs, manifest.padding), (SENTENCE_EMBEDDING,))
        return len(group)

    for group in groups[:3]:
        run(group)
    random.Random(3).shuffle(groups)
    count, started, cpu_started = 0, time.perf_counter(), time.process_time()
    while time.perf_counter() - started < SECONDS:
        for group in groups[:10]:
            count += run(group)
        groups = groups[10:] + groups[:10]
    seconds = time.perf_counter() - started
    return Rate(count / seconds, count / (time.process_time() - cpu_started))


@contextmanager
def serving(model_id: str) -> Iterator[tuple[Server, float]]:
    """A server of its own, and the seconds it took to open its port."""
    started = time.perf_counter()
    server = Server("--model-id", model_id, "--max-client-batch-size", str(BULK_ROWS))
    try:
        server.wait_ready()
        yield server, time.perf_counter() - started
    finally:
        server.stop()


def load(server: Server, texts: Sequence[str], rows: int, connections: int) -> Rate:
    """Texts a second that `wrk` gets answered, with so many texts a request."""
    groups = [texts[start : start + rows] for start in range(0, len(texts) - rows + 1, rows)]
    bodies = [json.dumps({"inputs": group[0] if rows == 1 else group}) for group in groups]
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "load.lua"
        script.write_text(_lua(bodies))
        cpu_before = cpu_seconds(server)
        output = subprocess.run(
            [shutil.which("wrk") or "wrk", "-t1", f"-c{connections}", f"-d{SECONDS}", "--timeout", "60s", "--latency",
             "-s", str(script), server.url],
            capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        cpu_used = cpu_seconds(server) - cpu_before
    if "Non-2xx" in output:
        raise RuntimeError(f"the server refused requests:\n{output}")
    requests = _found(r"(\d+) requests in", output)
    wall = float(_found(r"Requests/sec:\s+([\d.]+)", output)) * rows
    return Rate(wall, int(requests) * rows / cpu_used, _found(r"\n\s+50%\s+(\S+)", output))


def cpu_seconds(server: Server) -> float:
    """User and system time of the server's process so far."""
    fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_megabytes(server: Server) -> float:
    """Resident memory of the server's process."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(_found(r"VmRSS:\s+(\d+) kB", status)) / 1000


def _found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    if match is None:
        raise RuntimeError(f"no {pattern} in:\n{text}")
    return match.group(1)


def _lua(bodies: Sequence[str]) -> str:
    """A script for wrk that sends the bodies in turn; long brackets quote JSON as it is."""
    quoted = ",\n".join(f"[==[{body}]==]" for body in bodies)
    return (
        f"local bodies = {{{quoted}}}\nlocal place = 0\n"
        "request = function()\n  place = place % #bodies + 1\n"
        '  return wrk.format("POST", "/embed", {["content-type"] = "application/json"}, '
        "bodies[place])\nend\n"
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
