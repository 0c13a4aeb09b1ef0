"""One stage of an overload: a load of its own, and what the server makes of it."""

import asyncio
import re
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field

from tools.bench.load import cpu_seconds
from tools.overload.clients import Answer, Clients, get
from tools.process import Server

FILLING = 0.25  # the part of a stage in which the queue may fill: no rate is taken from it
SCRAPE_SECONDS = 0.5
GAUGES = {
    "te_permits_taken": "permits",
    "te_queue_size": "waiting",
    "process_resident_memory_bytes": "resident",
}


@dataclass(frozen=True, slots=True)
class Stage:
    """What became of one load."""

    rows: int  # texts of a request
    seconds: float  # for how long requests were due
    answers: Sequence[Answer]
    cpu: float  # seconds of the server's process, while its rates were taken
    most: dict[str, float]  # what the gauges of /metrics read at most

    @property
    def goodput(self) -> float:
        """Texts a second that were answered with their vectors."""
        return self._texts() / (self.seconds * (1 - FILLING))

    @property
    def goodput_by_cpu(self) -> float:
        """The same a second of the server's processor time, which neighbours take less from."""
        return self._texts() / self.cpu

    @property
    def refused(self) -> float:
        """The share of requests that got 429."""
        return sum(one.status == 429 for one in self.answers) / len(self.answers)

    def faults(self) -> list[str]:
        """What no client should see: another status, or a 429 that does not say when."""
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
        """Seconds until that share of the answers of a status had come."""
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
        """What became of a load that lasts so long."""
        scrapes = asyncio.create_task(self._scrape())
        cpu = asyncio.create_task(self._cpu(seconds))
        try:
            answers = await load
        finally:
            scrapes.cancel()
        return Stage(rows, seconds, answers, await cpu, self.most)

    async def gauges(self) -> dict[str, float]:
        """What they read now."""
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
