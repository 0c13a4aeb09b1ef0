"""Simulation: random arrivals, a balancer, and replicas that answer one request at a time.

Replicas of the service compute what waits together, and a lone query beside a batch; here each
request waits for all before it. So latencies are upper bounds, for each way of balancing alike.
"""

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

# Chooses a replica by the requests at each replica and the number of the request, from 0.
Policy = Callable[[Sequence[int], int, Random], int]


@dataclass(frozen=True, slots=True)
class Load:
    """A load: the number of replicas, how busy they are, and the number of requests."""

    replicas: int
    utilization: float  # share of the replicas' time that requests take
    requests: int
    seed: int = 0


def round_robin(outstanding: Sequence[int], number: int, _: Random) -> int:
    """Choose the next replica, whatever its load."""
    return number % len(outstanding)


def better_of_two(outstanding: Sequence[int], _: int, choose: Random) -> int:
    """Choose two replicas at random, then the one with fewer requests."""
    count = len(outstanding)
    first = int(choose.random() * count)
    second = (first + 1 + int(choose.random() * (count - 1))) % count
    return second if outstanding[second] < outstanding[first] else first


def least_outstanding(outstanding: Sequence[int], number: int, _: Random) -> int:
    """Choose a replica with the fewest requests; ties are broken in rotation."""
    count = len(outstanding)
    return min(range(count), key=lambda one: (outstanding[one], (one - number) % count))


def latencies(services: Sequence[float], policy: Policy, load: Load) -> list[float]:
    """Simulate a load; return the seconds from each request to its answer.

    Each takes one of `services`, in seconds, at random. Equal seeds have equal requests at equal
    times, whatever the policy. The first tenth, in which queues fill, is left out.
    """
    arriving, choosing = Random(load.seed), Random(load.seed + 1)
    pause = sum(services) / len(services) / (load.replicas * load.utilization)
    ends: list[deque[float]] = [deque() for _ in range(load.replicas)]  # of requests in flight
    found, now = [], 0.0
    for number in range(load.requests):
        now -= pause * math.log(1.0 - arriving.random())
        service = services[int(arriving.random() * len(services))]
        for queue in ends:
            while queue and queue[0] <= now:
                queue.popleft()
        queue = ends[policy([len(one) for one in ends], number, choosing)]
        queue.append((queue[-1] if queue else now) + service)
        found.append(queue[-1] - now)
    return found[load.requests // 10 :]


def percentile(values: Sequence[float], share: float) -> float:
    """Return a percentile: the value that this share of them do not exceed."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]
