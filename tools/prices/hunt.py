"""Hunt: the most expensive bodies of one route, small ones first, then up to the payload limit."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import takewhile
from random import Random

from tools.prices.bodies import Dialect, body
from tools.prices.genes import KNOWN, KNOWN_LARGE, MOST_BYTES, Genes, changed, drawn, grown
from tools.prices.meter import ANSWER_A_BYTE, CPU, CPU_A_BYTE, MEMORY, UNANSWERED, Cost, Meter
from tools.prices.search import Prices, Search, Species

SMALL_BYTES = 64_000  # bodies whose price per byte is sought: many can be tried in a minute
SMALL_SHARE = 0.5  # share of the time
LARGER = (8, 256)  # factors from a small body to a large one of its kind
TIMES, SHORT_SECONDS = 3, 1.0  # measurements of what costs less than this
LONG_SECONDS = 5.0  # processor time that is no accident

# By price, the most expensive body and its cost; memory first, on a fresh server.
Dearest = Mapping[str, tuple[Genes, Cost]]


@dataclass(slots=True)
class Hunt:
    """The bodies of one route, and the cost of each."""

    path: str
    dialect: Dialect
    meter: Meter
    most: int
    costs: dict[Genes, Cost]

    def measure(self, genes: Genes) -> tuple[Genes, Prices]:
        genes, content = body(genes, self.dialect, self.most)
        self.costs[genes] = self.meter.cost(self.path, content)
        return genes, self.costs[genes].prices


def dearest(
    path: str, dialect: Dialect, start: Callable[[], Meter], seconds: float, seed: int
) -> Dearest:
    """Return the most expensive of the bodies that are found within a time."""
    with start() as meter:
        hunt = Hunt(path, dialect, meter, SMALL_BYTES, {})
        search = Search(Species(drawn, changed, hunt.measure), Random(seed))
        small = _over_after(SMALL_SHARE * seconds)
        search.run((CPU_A_BYTE, ANSWER_A_BYTE), KNOWN, small)
        hunt.most = MOST_BYTES
        tried = [search.best(price)[0] for price in (CPU_A_BYTE, ANSWER_A_BYTE)]
        larger = [grown(one, times) for one in tried for times in LARGER]
        large = _over_after((1 - SMALL_SHARE) * seconds)
        in_time = takewhile(lambda _: not large(), [*KNOWN_LARGE, *larger])
        search.run((CPU, MEMORY), in_time, large)
    with start() as meter:
        hunt.meter = meter
        return {
            price: _again(price, search, hunt) for price in (MEMORY, CPU_A_BYTE, CPU, ANSWER_A_BYTE)
        }


def _again(price: str, search: Search[Genes], hunt: Hunt) -> tuple[Genes, Cost]:
    """Measure the two most expensive again, since one measurement may be an accident."""
    found = []
    for genes in search.best(price)[:2]:
        cost = hunt.costs[genes]
        if cost.status != UNANSWERED and (cost.cpu < LONG_SECONDS or price == MEMORY):
            _, content = body(genes, hunt.dialect)
            times = TIMES if cost.cpu < SHORT_SECONDS and price != MEMORY else 1
            costs = [hunt.meter.cost(hunt.path, content) for _ in range(times)]
            cost = sorted(costs, key=lambda one: one.prices[price])[times // 2]
        found.append((genes, cost))
    return max(found, key=lambda one: one[1].prices[price])


def _over_after(seconds: float) -> Callable[[], bool]:
    end = time.monotonic() + seconds
    return lambda: time.monotonic() >= end
