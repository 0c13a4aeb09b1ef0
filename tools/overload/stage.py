"""One stage of an overload: a load, and what became of it."""

import asyncio
import re
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field

from tools.bench.load import cpu_seconds
from tools.overload.clients import Answer, Clients, get
from tools.process import Server

FILLING = 0.25  # share of a stage in which the queue may fill: no rate is taken from it
SCRAPE_SECONDS = 0.5
GAUGES = {
    "te_permits_taken": "permits",
    "te_queue_size": "waiting",
    "process_resident_memory_bytes": "resident",
}


@dataclass(frozen=True, slots=True)
class Stage:
    """The outcome of one load."""

    rows: int  # texts per request
    seconds: float  # for how long requests were offered
    answers: Sequence[Answer]
    cpu: float  # CPU seconds of the server while rates were taken
    most: dict[str, float]  # the highest readings of the gauges of /metrics

    @property
    def goodput(self) -> float:
        """Texts a second that were answered with vectors."""
        return self._texts() / (self.seconds * (1 - FILLING))

    @property
    def goodput_by_cpu(self) -> float:
        """The same per second of the server's CPU time, which neighbours disturb less."""
        return self._texts() / self.cpu

    @property
    def refused(self) -> float:
        """The share of requests that were answered with 429."""
        return sum(one.status == 429 for one in self.answers) / len(self.answers)

    def faults(self) -> list[str]:
        """Return what no client should see: another status, or a 429 without a time to retry."""
        found = [
            f"status {one.status} instead of 200 or 429"
            for one in self.answers
            if one.status not in {200, 429}
        ]
        return found + [
            f"a 429 with Retry-After {one.retry_after}"
            for one in self.answers
            if one.status == 429 and not (one.retry_after or "").isdigit()
        ]

    def latency(self, share: float, status: int = 200) -> float:
        """Return a percentile of the latency of answers of one status."""
        sorted_ = sorted(one.seconds for one in self.answers if one.status == status)
        return sorted_[int(share * len(sorted_))] if sorted_ else 0.0

    def _texts(self) -> int:
        begun = self.seconds * FILLING
        return self.rows * sum(
            one.status == 200 and begun <= one.finished < self.seconds for one in self.answers
        )


@dataclass(slots=True)
class Watch:
    """Reads the server's gauges and its processor time while a stage runs."""

    server: Server
    clients: Clients
    most: dict[str, float] = field(default_factory=dict)

    async def over(self, load: Awaitable[list[Answer]], rows: int, seconds: float) -> Stage:
        """Return the outcome of a load of a given length."""
        scrapes = asyncio.create_task(self._scrape())
        cpu = asyncio.create_task(self._cpu(seconds))
        try:
            answers = await load
        finally:
            scrapes.cancel()
        return Stage(rows, seconds, answers, await cpu, self.most)

    async def gauges(self) -> dict[str, float]:
        """Return their current readings."""
        _, content = await self.clients.ask(get("/metrics"))
        found = dict(re.findall(r"^(\w+) ([\d.e+]+)$", content.decode(), re.MULTILINE))
        return {short: float(found.get(name, 0)) for name, short in GAUGES.items()}

    async def _scrape(self) -> None:
        while True:
            for name, value in (await self.gauges()).items():
                self.most[name] = max(value, self.most.get(name, 0.0))
            await asyncio.sleep(SCRAPE_SECONDS)

    async def _cpu(self, seconds: float) -> float:
        await asyncio.sleep(seconds * FILLING)
        before = cpu_seconds(self.server)
        await asyncio.sleep(seconds * (1 - FILLING))
        return cpu_seconds(self.server) - before
