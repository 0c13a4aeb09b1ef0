"""`python -m tools.soak.memory`: a server's memory after 1,000 and 100,000 requests.

The requests are the soak's, to a tiny model, so that the server's own memory shows.
"""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from app.model.manifest import PROBES_FILE
from app.proof.probes import Probes
from tools import tiny
from tools.soak.client import Client, NoAnswer
from tools.soak.replica import Replica
from tools.soak.traffic import Traffic

CLIENTS = 8
FIRST = 1_000
GREATEST_RATIO = 1.2


def main() -> int:
    """Print resident memory along the way; return 1 if it exceeds 1.2 times the first figure."""
    parser = argparse.ArgumentParser(prog="python -m tools.soak.memory", description=__doc__)
    parser.add_argument("--requests", type=int, default=100_000, help="how many")
    wanted = parser.parse_args().requests
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "model"
        tiny.build(folder)
        traffic = Traffic(Probes.read(folder / PROBES_FILE), seed=0)
        replica = Replica(("--model-id", str(folder)), "app", Path(place) / "log")
        try:
            resident = asyncio.run(_ask(replica, traffic, wanted))
        finally:
            replica.kill()
    ratio = resident[-1] / resident[0]
    print(f"{ratio:.2f} times as much as after {FIRST:,} requests")  # noqa: T201
    return int(ratio > GREATEST_RATIO)


async def _ask(replica: Replica, traffic: Traffic, wanted: int) -> list[int]:
    """Yield resident bytes after the first requests, and after each tenth of all."""
    await replica.wait_ready()
    stops = [FIRST, *range(max(FIRST + 1, wanted // 10), wanted + 1, max(1, wanted // 10))]
    clients = [Client(replica.port) for _ in range(CLIENTS)]
    done, resident = 0, []
    for stop in stops:
        await asyncio.gather(*(_work(one, traffic, (stop - done) // CLIENTS) for one in clients))
        done = stop
        resident.append(replica.resident())
        print(f"{done:,} requests: {resident[-1] / 1e6:.1f} MB", flush=True)  # noqa: T201
    for one in clients:
        one.close()
    return resident


async def _work(client: Client, traffic: Traffic, count: int) -> None:
    for _ in range(count):
        request = traffic.next()
        try:
            answer = await client.ask(request.content)
        except NoAnswer as error:
            sys.exit(f"{request.name}: {error}")
        if fault := request.fault_of(answer):
            sys.exit(fault)


if __name__ == "__main__":
    sys.exit(main())
