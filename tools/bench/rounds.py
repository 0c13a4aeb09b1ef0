"""Rounds: all that is measured takes turns, for a machine's speed changes from minute to minute."""

from collections.abc import Iterator, Sequence

from tools.bench.subject import LOADS, LONG, Subject


def rounds(subjects: Sequence[Subject], count: int) -> Iterator[str]:
    """Measure every load of every subject in each round, and say how far it is.

    The round before the first counts for nothing: first runs, new shapes and what a tokenizer or an
    allocator keeps are behind all of them then. In every second round the order is the other way
    round, so that none always comes first.
    """
    for number in range(count + 1):
        yield f"round {number} of {count}" if number else "a round that counts for nothing"
        for load in LOADS:
            if load in LONG and number % 2 == 0:
                continue
            for subject in subjects if number % 2 else reversed(subjects):
                subject.measure(load, counts=number > 0)
