"""`make balancing`: simulate how requests are spread over replicas, and write docs/scaling.md.

With `--measure`, measure first how long requests take, into `measured.json`.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from export.source.default_model import DEFAULT_MODEL_ID
from tools.balancing import measured
from tools.balancing.simulation import (
    Load,
    Policy,
    better_of_two,
    latencies,
    least_outstanding,
    percentile,
    round_robin,
)
from tools.bench.report import insert

COMMAND = "make balancing"
PAGE = Path("docs/scaling.md")
REPLICAS, REQUESTS = 8, 40_000
UTILIZATIONS = (0.3, 0.5, 0.7, 0.8, 0.9)
POLICIES: dict[str, Policy] = {
    "round robin": round_robin,
    "better of two at random": better_of_two,
    "least outstanding": least_outstanding,
}


def main() -> int:
    """Simulate, print the report, and write it to the page."""
    parser = argparse.ArgumentParser(prog="python -m tools.balancing", description=__doc__)
    parser.add_argument("--measure", action="store_true", help="how long requests take, anew")
    if parser.parse_args().measure:
        measured.STORED.write_text(json.dumps(measured.measure(DEFAULT_MODEL_ID), indent=0) + "\n")
    lines = list(report())
    print("\n".join(lines))
    insert(PAGE, lines, COMMAND)
    return 0


def report() -> Iterator[str]:
    """Simulate every load with every policy; yield the lines of the report."""
    found = measured.stored()
    services: Sequence[float] = found["seconds"]
    yield (
        f"{found['about']}. They take {1000 * percentile(services, 0.5):.1f} ms in the median and "
        f"{1000 * sum(services) / len(services):.1f} ms on the mean. {REPLICAS} replicas, "
        f"{REQUESTS:,} requests at random times for each cell; median and 99th percentile:"
    )
    yield ""
    yield f"| of the replicas' time | {' | '.join(POLICIES)} |"
    yield f"|---|{'---|' * len(POLICIES)}"
    for utilization in UTILIZATIONS:
        load = Load(REPLICAS, utilization, REQUESTS)
        cells = (_cell(latencies(services, policy, load)) for policy in POLICIES.values())
        yield f"| {utilization:.0%} | {' | '.join(cells)} |"


def _cell(seconds: Sequence[float]) -> str:
    return f"{1000 * percentile(seconds, 0.5):,.0f} ms, {1000 * percentile(seconds, 0.99):,.0f} ms"


if __name__ == "__main__":
    sys.exit(main())
