"""`make prices`: the most expensive request on every route, and the bound on its cost.

A server with all its defaults gets one request at a time. Bodies are made of genes, valid or not;
expensive ones are mutated and tried again, by processor time and answer a request byte
(a request's head counts), then by processor time and memory of one request up to the payload
limit. The seed fixes what is drawn; the search depends on what was measured. The default model
embeds; the other kinds are tiny models for inputs as long, whose computing costs next to nothing,
so that their prices are those of the service and of the tokenizer. The bodies are printed only; the
prices also go to `docs/reliability.md`.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from pathlib import Path

from app.inference.providers import machine
from app.model.names import Task
from export.source.default_model import DEFAULT_MODEL_ID
from tools import tiny
from tools.bench.report import insert
from tools.prices import routes
from tools.prices.bodies import Dialect, said
from tools.prices.genes import Genes
from tools.prices.hunt import Dearest, dearest
from tools.prices.meter import ANSWER_A_BYTE, CPU, CPU_A_BYTE, MEMORY, UNANSWERED, Cost, Meter

COMMAND = "make prices"
PAGE = Path("docs/reliability.md")
LENGTH = 256  # tokens of an input, as the default model takes
HEAD = (
    "| route | µs of CPU a request byte | CPU seconds of one request | answer bytes a request byte | "
    "memory of one request | bound by |\n|---|---|---|---|---|---|"
)
BODIES_HEAD = "\n| route | dearest a byte | dearest | largest answer a byte | most memory |\n|---|---|---|---|---|"


@dataclass(frozen=True, slots=True)
class Found:
    """A route with its most expensive bodies."""

    row: routes.Row
    dialect: Dialect
    dearest: Dearest

    def prices(self) -> str:
        """A row of the table of prices."""
        by_price = {price: cost for price, (_, cost) in self.dearest.items()}
        figures = (
            f"{1e6 * by_price[CPU_A_BYTE].prices[CPU_A_BYTE]:,.1f}",
            f"{'over ' if by_price[CPU].status == UNANSWERED else ''}{by_price[CPU].cpu:,.1f}",
            f"{by_price[ANSWER_A_BYTE].prices[ANSWER_A_BYTE]:,.0f}",
            f"{by_price[MEMORY].memory / 1e6:,.0f} MB",
        )
        return f"| {self._name} | {' | '.join(figures)} | {self.row.bound} |"

    def bodies(self) -> str:
        """A row of the table of bodies."""
        shown = (self.dearest[price] for price in (CPU_A_BYTE, CPU, ANSWER_A_BYTE, MEMORY))
        return f"| {self._name} | {' | '.join(self._said(*one) for one in shown)} |"

    @property
    def _name(self) -> str:
        return f"`{self.row.path}`, {self.row.task}"

    def _said(self, genes: Genes, cost: Cost) -> str:
        answered = "given up" if cost.status == UNANSWERED else str(cost.status)
        return f"{said(genes, self.dialect)} ({cost.request:,} bytes: {answered})"


def main() -> int:
    """Print the report, and write it to its page."""
    parser = argparse.ArgumentParser(prog="python -m tools.prices", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="for each route")
    parser.add_argument("--seed", type=int, default=0, help="of what is drawn")
    parser.add_argument("--path", action="append", help="which routes; all, and then it is written")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        models = _models(Path(place))
        found: list[Found] = []
        for one in _found(arguments, models):
            print(one.prices(), one.bodies(), sep="\n", file=sys.stderr, flush=True)
            found.append(one)
    here = f"{machine.describe()}, {machine.usable_cores()} cores, {date.today():%d %B %Y}"
    of = f"{arguments.seconds:g} seconds a route, seed {arguments.seed}"
    lines = [f"{DEFAULT_MODEL_ID} and tiny models on {here}; {of}", "", HEAD]
    lines += (one.prices() for one in found)
    print(*lines, BODIES_HEAD, *(one.bodies() for one in found), sep="\n")
    if not arguments.path:
        insert(PAGE, lines, COMMAND)
    return 0


def _models(folder: Path) -> dict[Task, str]:
    """Return a model for each kind that is measured: its id, or its folder."""
    models: dict[Task, str] = {}
    for task in {row.task for row in routes.ROWS} - {"embedding"}:
        made = tiny.build(folder / task, task)
        tiny.seal(folder / task, replace(made, max_input_length=LENGTH))
        models[task] = str(folder / task)
    return {**models, "embedding": DEFAULT_MODEL_ID}


def _found(arguments: argparse.Namespace, models: dict[Task, str]) -> Iterator[Found]:
    """Yield each route's most expensive bodies as soon as they are known."""
    endpoints = {task: routes.posts(model) for task, model in models.items()}
    for row in routes.ROWS:
        if row.path in (arguments.path or [row.path]):
            dialect = routes.dialect(row.path, endpoints[row.task])
            start = partial(Meter, models[row.task], 2 * arguments.seconds)
            path = row.path.replace("{name:path}", models[row.task])
            found = dearest(path, dialect, start, arguments.seconds, arguments.seed)
            yield Found(row, dialect, found)


if __name__ == "__main__":
    sys.exit(main())
