"""The bench's rates, and the rate of several parts together."""

from tools.bench.rate import Rate, together


def test_a_rate_is_of_wall_and_of_cpu_time() -> None:
    rate = Rate(100, 4, 5)
    assert (rate.wall, rate.cpu, rate.cpu_each, rate.latency) == (25, 20, 0.05, "")


def test_a_process_that_cannot_be_seen_has_no_cpu_time() -> None:
    rate = Rate(100, 4, None)
    assert (rate.wall, rate.cpu, rate.cpu_each) == (25, None, None)


def test_a_latency_has_a_unit_that_suits_it() -> None:
    assert [Rate(1, 1, 1, median).latency for median in (0.00123, 0.25, 12.5)] == [
        "1.23 ms",
        "250.00 ms",
        "12.50 s",
    ]


def test_a_share_of_the_requests_took_so_long_at_most() -> None:
    rate = Rate(100, 1, 1, latencies=tuple(float(each) for each in range(100)))
    assert [rate.at(share) for share in (0, 0.5, 0.99, 1)] == [0, 50, 99, 99]


def test_parts_together_are_as_one_that_took_as_long() -> None:
    found = together([Rate(100, 1, 2, 0.3), Rate(20, 3, 4, 0.1), Rate(0, 1, 1)])
    assert (found.texts, found.wall_seconds, found.cpu_seconds) == (120, 5, 7)
    assert found.median == 0.2
    assert together([Rate(1, 1, 1)]).median is None


def test_the_median_of_parts_is_that_of_all_their_latencies_where_they_were_kept() -> None:
    parts = [Rate(3, 1, 1, latencies=(1, 2, 9)), Rate(2, 1, 1, latencies=(3, 4))]
    found = together(parts)
    assert (found.median, found.at(0.99)) == (3, 9)


def test_parts_of_which_one_cannot_be_seen_have_no_cpu_time_together() -> None:
    assert together([Rate(1, 1, 1), Rate(1, 1, None)]).cpu is None
