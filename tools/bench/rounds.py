"""Rounds: all subjects take turns, since a machine's speed changes from minute to minute."""

from collections.abc import Iterator, Sequence

from tools.bench.subject import LOADS, LONG, Subject


def rounds(subjects: Sequence[Subject], count: int) -> Iterator[str]:
    """Measure every load of every subject in each round, and report progress.

    The round before the first is a warm-up, which is not counted: it takes the first runs, new
    shapes, and what tokenizers and allocators cache. Every second round runs in reverse
    order, so that none always comes first.
    """
    for number in range(count + 1):
        yield f"round {number} of {count}" if number else "a round that counts for nothing"
        for load in LOADS:
            if load in LONG and number % 2 == 0:
                continue
            for subject in subjects if number % 2 else reversed(subjects):
                subject.measure(load, counts=number > 0)
