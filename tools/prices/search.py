"""Search: what is dearest, by measuring what is drawn, and what comes of the dearest so far."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Generic, TypeVar

G = TypeVar("G")
Prices = Mapping[str, float]  # by what is paid with

KEPT = 4  # of each price
DRAWN = 0.3  # of all that is measured; the rest comes of what is kept


@dataclass(frozen=True, slots=True)
class Species(Generic[G]):
    """How candidates come about, and what each costs."""

    draw: Callable[[Random], G]
    change: Callable[[G, Random], G]
    measure: Callable[[G], tuple[G, Prices]]  # which may say what it made of a candidate


@dataclass(slots=True)
class Search(Generic[G]):
    """The dearest so far, by each of the prices."""

    species: Species[G]
    random: Random
    kept: dict[str, list[tuple[float, G]]] = field(default_factory=dict)
    _seen: set[G] = field(default_factory=set)

    def run(self, prices: Sequence[str], first: Iterable[G], is_over: Callable[[], bool]) -> None:
        """Measure all of `first`, and go on until it is over, by each of some prices in turn."""
        for one in first:
            self._try(one)
        turn = 0
        while not is_over():
            self._try(self._next(prices[turn % len(prices)]))
            turn += 1

    def best(self, price: str) -> Sequence[G]:
        """What costs most, the dearest first."""
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
