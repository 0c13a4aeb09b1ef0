"""`make attacks`: what ordinary clients see of a server while single clients attack it.

With default options: one attack after another, then all of them at once for MINUTES. Beside
them an ordinary client asks `/livez` and a short `/embed`: its answers must all come, and be
right. For the default model the report also goes to `docs/reliability.md`.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from datetime import date
from itertools import chain
from pathlib import Path

from app.inference.providers import machine
from export.source.default_model import DEFAULT_MODEL_ID
from tools.attacks.attackers import ATTACKS, Attack, attacked
from tools.attacks.bystander import Bystander
from tools.bench.report import insert
from tools.process import Server, forget_most_resident, most_resident

COMMAND = "make attacks"
PAGE = Path("docs/reliability.md")
HEAD = (
    "| attack | clients | `/livez`: answers, the slowest | a short `/embed` | resident, at most |\n"
    "|---|---|---|---|---|"
)
BREATH = 2.0  # seconds between two attacks


def main() -> int:
    """Print the report; 1 where a client saw what it should not."""
    parser = argparse.ArgumentParser(prog="python -m tools.attacks", description=__doc__)
    parser.add_argument("model_id", nargs="?", default=DEFAULT_MODEL_ID)
    parser.add_argument("--seconds", type=float, default=20, help="of each attack")
    parser.add_argument("--minutes", type=float, default=1, help="of all at once")
    parser.add_argument("--attack", type=int, action="append", help="which of them, from 0; all")
    arguments = parser.parse_args()
    lines: list[str] = []
    faults: list[str] = []
    here = f"{machine.describe()}, {machine.usable_cores()} cores, {date.today():%d %B %Y}"
    lasting = f"{arguments.seconds:g} seconds each, {60 * arguments.minutes:g} all at once"
    head = f"{arguments.model_id} on {here}; {lasting}\n\n{HEAD}"
    for line in chain([head], _report(arguments, faults)):
        print(line, flush=True)
        lines.append(line)
    for fault in faults:
        print(fault, file=sys.stderr)
    if arguments.model_id == DEFAULT_MODEL_ID and not (arguments.attack or faults):
        insert(PAGE, lines, COMMAND)
    return int(bool(faults))


def _report(arguments: argparse.Namespace, faults: list[str]) -> Iterator[str]:
    chosen = ATTACKS if arguments.attack is None else [ATTACKS[one] for one in arguments.attack]
    rounds = [([one], arguments.seconds) for one in chosen]
    if arguments.minutes:
        rounds.append((chosen, arguments.minutes * 60))
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        with Server("--model-id", arguments.model_id, log=log) as server:
            server.wait_ready()
            server.wait_warm()
            for attacks, seconds in rounds:
                yield _row(server, attacks, seconds, faults)
                time.sleep(BREATH)
            faults += [f"it ended: {log.read_text()[-2000:]}"] * (server.process.poll() is not None)


def _row(server: Server, attacks: Sequence[Attack], seconds: float, faults: list[str]) -> str:
    bystander = Bystander(server.port)
    forget_most_resident(server.process.pid)
    with ExitStack() as running:
        running.enter_context(bystander.looking())
        running.enter_context(attacked(server.port, [ATTACKS.index(one) for one in attacks]))
        time.sleep(seconds)
        most = most_resident(server.process.pid)
    name = attacks[0].name if len(attacks) == 1 else "all of these at once"
    faults += [f"{name}: {one}" for one in bystander.faults()]
    cells = [
        name,
        str(sum(attack.clients for attack in attacks)),
        *(
            f"{len(seen.seconds)}: {1000 * seen.worst:.0f} ms"
            for seen in (bystander.livez, bystander.embed)
        ),
        f"{most / 1e6:.0f} MB",
    ]
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.exit(main())
