"""The bench's rounds: the order of subjects, and which rounds count."""

from collections.abc import Callable

from tools.bench.rate import Rate
from tools.bench.rounds import rounds
from tools.bench.subject import LOADS, LONG, MANY, Subject, over


def subject(name: str, loads: tuple[str, ...], calls: list[tuple[str, str]]) -> Subject:
    """Return a subject that records when it is measured."""

    def measuring(load: str) -> Callable[[], Rate]:
        def measure() -> Rate:
            calls.append((name, load))
            return Rate(1, 1, 1)

        return measure

    return Subject(name, {load: measuring(load) for load in loads})


def test_all_take_turns_at_each_load_and_the_order_changes_with_every_round() -> None:
    calls: list[tuple[str, str]] = []
    both = [subject(name, (over(1), over(8)), calls) for name in ("one", "other")]
    assert list(rounds(both, 2)) == [
        "a round that counts for nothing",
        "round 1 of 2",
        "round 2 of 2",
    ]
    there, back = ["one", "other"], ["other", "one"]
    names = [name for name, _ in calls]
    assert names == [*back, *back, *there, *there, *back, *back]
    assert [load for _, load in calls] == [over(1), over(1), over(8), over(8)] * 3


def test_the_first_round_counts_for_nothing() -> None:
    one = subject("one", (over(1),), [])
    for _ in rounds([one], 4):
        pass
    rate = one.rate(over(1))
    assert rate is not None
    assert rate.texts == 4
    assert one.rate(over(8)) is None


def test_slow_loads_are_measured_in_every_second_round() -> None:
    calls: list[tuple[str, str]] = []
    one = subject("one", MANY, calls)
    for _ in rounds([one], 4):
        pass
    assert MANY[-1] in LONG
    assert [load for _, load in calls].count(MANY[-1]) == 2
    assert [load for _, load in calls].count(MANY[0]) == 5


def test_every_load_has_its_place_in_a_round_once() -> None:
    assert len(set(LOADS)) == len(LOADS)
    assert set(LONG) <= set(LOADS)
