"""`make overload`: how a server behaves under more load than it can answer.

For requests of 32 passages and for short queries: the peak first, with as many clients as keep
half of the permits taken, each of which asks again when it has its answer. Then 1, 2 and 4 times
the peak in an open loop: clients that do not wait for each other, and do not come again after a
429. Goodput is what was answered with vectors. The peak is taken anew before each load, since
others may work on the machine. After a load the next answer must be right, and every permit back.
For the default model the report also goes to `docs/reliability.md`.
"""

import argparse
import asyncio
import json
import resource
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from itertools import chain
from pathlib import Path

import numpy as np
import uvloop
from numpy.typing import NDArray

from app.inference.providers import machine
from export.source.default_model import DEFAULT_MODEL_ID
from tools.bench.load import BULK_ROWS
from tools.bench.report import insert
from tools.overload.clients import Clients, post
from tools.overload.stage import Stage, Watch
from tools.process import Server
from tools.texts import passages

COMMAND = "make overload"
PAGE = Path("docs/reliability.md")
TIMES = (1, 2, 4)
SHORTEST_SECONDS = 20.0  # per load
QUEUES = 2  # full queues worked off during a load, at least; more give steadier rates
HEAD = (
    "| load | peak, texts a second | answered | of the peak | … by CPU | 429 | "
    "a 200: median, 99th percentile | a 429 | resident, at most |\n"
    "|---|---|---|---|---|---|---|---|---|"
)


@dataclass(frozen=True, slots=True)
class Case:
    """One kind of request against one bound on the queue."""

    name: str
    rows: int
    permits: int

    @property
    def clients(self) -> int:
        """Return how many clients keep half of the permits taken."""
        return max(2, self.permits // self.rows // 2)

    def requests(self) -> list[bytes]:
        """Yield requests in turn, no text twice at a time, since equal texts are computed once."""
        if self.rows == 1:
            bodies: Sequence[object] = passages(2_000, longest_words=25, seed=1)
        else:
            long = [
                one for one in passages(4_000, longest_words=120, seed=2) if one.count(" ") >= 60
            ]
            bodies = [
                long[start : start + self.rows]
                for start in range(0, len(long) - self.rows + 1, self.rows)
            ]
        return [post("/embed", json.dumps({"inputs": body}).encode()) for body in bodies]


CASES = (
    Case("32 passages", BULK_ROWS, 512),
    Case("32 passages", BULK_ROWS, 128),
    Case("a query", 1, 512),
    Case("a query", 1, 128),
)


def main() -> int:
    """Print the report; return 1 if a client saw what it should not."""
    parser = argparse.ArgumentParser(prog="python -m tools.overload", description=__doc__)
    parser.add_argument("model_id")
    parser.add_argument("--case", type=int, action="append", help="which of them, from 0; all")
    parser.add_argument("--queues", type=int, default=QUEUES, help="worked off by each load")
    arguments = parser.parse_args()
    _allow_many_files()
    lines: list[str] = []
    faults: list[str] = []
    here = f"{machine.describe()}, {machine.usable_cores()} cores, {date.today():%d %B %Y}"
    for line in chain([f"{arguments.model_id} on {here}\n\n{HEAD}"], _report(arguments, faults)):
        print(line, flush=True)  # the program's output
        lines.append(line)
    for fault, times in Counter(faults).items():
        print(f"{times} times: {fault}", file=sys.stderr)
    if arguments.model_id == DEFAULT_MODEL_ID and not (arguments.case or faults):
        insert(PAGE, lines, COMMAND)
    return int(bool(faults))


def _allow_many_files() -> None:
    """Raise the limit on open files, since each waiting client takes a connection."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _report(arguments: argparse.Namespace, faults: list[str]) -> Iterator[str]:
    for case in CASES if arguments.case is None else [CASES[place] for place in arguments.case]:
        with _serving(arguments.model_id, case.permits) as server:
            for times in TIMES:
                with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                    peak, load, wrong = runner.run(_overload(server, case, times, arguments.queues))
                yield _row(f"{case.name}, {case.permits} permits, {times} ×", load, peak)
                faults += [f"{case.name}, {times} ×: {one}" for one in wrong]


async def _overload(
    server: Server, case: Case, times: int, queues: int
) -> tuple[Stage, Stage, list[str]]:
    """Return the peak, the outcome at a multiple of it, and the faults after it."""
    requests = case.requests()
    clients, scraper = Clients(server.port, requests), Clients(server.port, [])
    before = await _vectors(scraper, requests[0])
    seconds = max(SHORTEST_SECONDS, queues * case.permits / await _pace(clients, case))
    peak = await Watch(server, scraper).over(
        clients.saturate(case.clients, seconds / 2), case.rows, seconds / 2
    )
    rate = times * peak.goodput / case.rows
    load = await Watch(server, scraper).over(clients.offer(rate, seconds), case.rows, seconds)
    wrong = load.faults()
    if load.most["permits"] > case.permits:
        wrong.append(f"{load.most['permits']:.0f} permits were taken")
    if (permits := (await Watch(server, scraper).gauges())["permits"]) != 0:
        wrong.append(f"{permits:.0f} permits are still taken after the load")
    if np.abs(await _vectors(scraper, requests[0]) - before).max() > 1e-5:
        wrong.append("the first answer after the load is not the one before it")
    clients.close()
    scraper.close()
    return peak, load, wrong


async def _pace(clients: Clients, case: Case) -> float:
    """Return texts a second, roughly."""
    answers = await clients.saturate(2, 0.01)
    return case.rows * len(answers) / max(one.finished for one in answers)


async def _vectors(clients: Clients, request: bytes) -> NDArray[np.float64]:
    _, content = await clients.ask(request)
    return np.array(json.loads(content))


@contextmanager
def _serving(model_id: str, permits: int) -> Iterator[Server]:
    """A server that logs as it does by default."""
    with tempfile.TemporaryDirectory() as folder:
        flags = ("--model-id", model_id, "--max-concurrent-requests", str(permits))
        server = Server(*flags, log=Path(folder) / "log")
        try:
            server.wait_ready()
            server.wait_warm()
            yield server
        finally:
            server.stop()


def _row(name: str, stage: Stage, peak: Stage) -> str:
    shares = (stage.goodput / peak.goodput, stage.goodput_by_cpu / peak.goodput_by_cpu)
    accepted = f"{stage.latency(0.5):.2f}, {stage.latency(0.99):.2f} s"
    refused = f"{1000 * stage.latency(0.5, 429):.0f}, {1000 * stage.latency(0.99, 429):.0f} ms"
    return (
        f"| {name} | {peak.goodput:,.0f} | {stage.goodput:,.0f} | {shares[0]:.2f} | "
        f"{shares[1]:.2f} | {stage.refused:.0%} | {accepted} | "
        f"{refused if stage.refused else ''} | {stage.most['resident'] / 1e6:.0f} MB |"
    )


if __name__ == "__main__":
    sys.exit(main())
