"""Search: the most expensive candidates, by random draws and mutations of the best so far."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Generic, TypeVar

G = TypeVar("G")
Prices = Mapping[str, float]  # by resource

KEPT = 4  # candidates per price
DRAWN = 0.3  # share of random draws; the rest are mutations of kept candidates


@dataclass(frozen=True, slots=True)
class Species(Generic[G]):
    """Functions that draw, mutate and measure candidates."""

    draw: Callable[[Random], G]
    change: Callable[[G, Random], G]
    measure: Callable[[G], tuple[G, Prices]]  # may return another candidate than it was given


@dataclass(slots=True)
class Search(Generic[G]):
    """The most expensive candidates so far, by price."""

    species: Species[G]
    random: Random
    kept: dict[str, list[tuple[float, G]]] = field(default_factory=dict)
    _seen: set[G] = field(default_factory=set)

    def run(self, prices: Sequence[str], first: Iterable[G], is_over: Callable[[], bool]) -> None:
        """Measure all of `first`, then search by each price in turn until `is_over`."""
        for one in first:
            self._try(one)
        turn = 0
        while not is_over():
            self._try(self._next(prices[turn % len(prices)]))
            turn += 1

    def best(self, price: str) -> Sequence[G]:
        """Return the most expensive candidates, the most expensive first."""
        return [one for _, one in self.kept.get(price, [])]

    def _next(self, price: str) -> G:
        kept = self.best(price)
        if not kept or self.random.random() < DRAWN:
            return self.species.draw(self.random)
        return self.species.change(self.random.choice(kept), self.random)

    def _try(self, one: G) -> None:
        if one in self._seen:
            return
        self._seen.add(one)
        one, prices = self.species.measure(one)
        for price, value in prices.items():
            kept = [pair for pair in self.kept.get(price, []) if pair[1] != one]
            kept.append((value, one))
            kept.sort(key=lambda pair: pair[0], reverse=True)
            self.kept[price] = kept[:KEPT]
