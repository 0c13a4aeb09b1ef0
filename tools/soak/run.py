"""The soak itself: two replicas, one of them restarted again and again, and clients of both."""

import asyncio
import json
import random
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field

from tools.soak.client import Client, NoAnswer
from tools.soak.record import Record, Sample, percentiles
from tools.soak.replica import Replica
from tools.soak.traffic import KEY, MAX_INPUTS, Request, Traffic

CLIENTS = 10
PAUSE = 0.02  # mean seconds between two requests of a client
VANISHING = 0.1  # share of requests whose client goes away
PATIENCE = 60.0  # seconds after which a request counts as lost
RESTART_EVERY = (10.0, 30.0)  # seconds
QUIET = 30.0  # seconds for the server to notice closed connections at the end


@dataclass(slots=True)
class Soak:
    """A soak of some seconds, and its record."""

    steady: Replica
    restarted: Replica
    traffic: Traffic
    seconds: float
    record: Record = field(default_factory=Record)
    _latencies: list[float] = field(default_factory=list)  # of the current second
    _counts: Counter[str] = field(default_factory=Counter)  # of the current second
    _started: float = 0.0
    _over: bool = False

    async def run(self) -> Record:
        """Start, load, restart and sample; then check that everything was given back."""
        await asyncio.gather(self.steady.wait_ready(), self.restarted.wait_ready())
        await _embed(self.steady, 1)
        self.record.idle_files = self.steady.files()
        self._started = time.monotonic()
        clients = [asyncio.create_task(self._ask_on(seed)) for seed in range(CLIENTS)]
        restarts = asyncio.create_task(self._restart_on())
        await self._sample_on()
        self._over = True
        await asyncio.gather(*clients, restarts)
        await self._see_what_is_left()
        return self.record

    async def _ask_on(self, seed: int) -> None:
        choose = random.Random(seed)
        replicas = (self.steady, self.steady, self.restarted)
        clients = {replica: Client(replica.port) for replica in replicas}
        while not self._over:
            replica = choose.choice(replicas)
            with suppress(OSError):  # nothing listens while it is restarted
                if choose.random() < VANISHING:
                    part = self.traffic.part()
                    await clients[replica].vanish(part, choose.expovariate(1 / PAUSE))
                    self._counts["vanished"] += 1
                else:
                    await self._ask(replica, clients[replica], self.traffic.next())
            if choose.random() < 0.01:
                clients[replica].close()
            await asyncio.sleep(choose.expovariate(1 / PAUSE))
        for client in clients.values():
            client.close()

    async def _ask(self, replica: Replica, client: Client, request: Request) -> None:
        """Send one request, and count its outcome."""
        started = time.monotonic()
        try:
            async with asyncio.timeout(PATIENCE):
                answer = await client.ask(request.content)
        except NoAnswer as error:
            if error.received or client.sent_at < replica.signalled < started + PATIENCE:
                self._fail(f"{request.name}: lost: {error}")
            else:
                self._not_taken(replica, started, f"{request.name}: {error}")
        except TimeoutError:
            client.close()
            self._fail(f"{request.name}: lost: no answer in {PATIENCE:g} s")
        except OSError as error:
            self._not_taken(replica, started, f"{request.name}: {error!r}")
        else:
            fault = request.fault_of(answer)
            if fault is not None:
                self._fail(fault)
            elif answer.status == 200:
                self._counts["answered"] += 1
                self._latencies.append(time.monotonic() - started)
            else:
                refused = answer.status in {429, 503, 504}
                self._counts["refused" if refused else "rejected"] += 1

    def _not_taken(self, replica: Replica, started: float, reason: str) -> None:
        """Count a refused connection, which is a fault unless its replica was being restarted."""
        if replica.ready < started:
            self._fail(f"{reason}, without a restart")
        self._counts["unaccepted"] += 1

    def _fail(self, fault: str) -> None:
        self.record.faults.append(f"after {time.monotonic() - self._started:.0f} s, {fault}")
        self._counts["failed"] += 1

    async def _restart_on(self) -> None:
        choose = random.Random(0)
        while not self._over:
            await asyncio.sleep(choose.uniform(*RESTART_EVERY))
            self.record.restarts.append(time.monotonic() - self._started)
            self.record.faults += await self.restarted.restart()

    async def _sample_on(self) -> None:
        while (now := time.monotonic() - self._started) < self.seconds:
            await asyncio.sleep(1 - now % 1)
            latencies, self._latencies = self._latencies, []
            counts, self._counts = self._counts, Counter()
            self.record.samples.append(
                Sample(
                    now,
                    self.steady.resident(),
                    self.steady.files(),
                    self.steady.threads(),
                    *percentiles(latencies),
                    counts,
                )
            )

    async def _see_what_is_left(self) -> None:
        """Check that files are closed and permits free without clients, and that it ends with 0."""
        end = time.monotonic() + QUIET
        # Closed files can only be polled for.
        while self.steady.files() > self.record.idle_files and time.monotonic() < end:  # noqa: ASYNC110
            await asyncio.sleep(0.1)
        self.record.left_files = self.steady.files()
        if not await _embed(self.steady, MAX_INPUTS):
            self.record.faults.append("not every permit was given back")
        for replica in (self.steady, self.restarted):
            self.record.faults += await replica.end()


async def _embed(replica: Replica, count: int) -> bool:
    """Return whether a request of `count` texts is answered."""
    client = Client(replica.port)
    body = json.dumps({"inputs": ["cat"] * count})
    answer = await client.ask(
        f"POST /embed HTTP/1.1\r\nhost: soak\r\nauthorization: Bearer {KEY}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n{body}".encode()
    )
    client.close()
    return answer.status == 200
