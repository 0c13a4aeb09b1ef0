"""The bench's rates, and what several of them are together."""

from tools.bench.rate import Rate, together


def test_a_rate_is_of_wall_and_of_cpu_time() -> None:
    rate = Rate(100, 4, 5)
    assert (rate.wall, rate.cpu, rate.latency) == (25, 20, "")


def test_a_latency_has_a_unit_that_suits_it() -> None:
    assert [Rate(1, 1, 1, median).latency for median in (0.00123, 0.25, 12.5)] == [
        "1.23 ms",
        "250.00 ms",
        "12.50 s",
    ]


def test_parts_together_are_as_one_that_took_as_long() -> None:
    found = together([Rate(100, 1, 2, 0.3), Rate(20, 3, 4, 0.1), Rate(0, 1, 1)])
    assert (found.texts, found.wall_seconds, found.cpu_seconds) == (120, 5, 7)
    assert found.median == 0.2
    assert together([Rate(1, 1, 1)]).median is None
