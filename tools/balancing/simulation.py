"""Simulation: requests that arrive at random, a balancer, and replicas that answer one at a time.

Replicas of the service compute what waits together, and a lone query beside a batch; here each
request waits for all before it. So latencies are upper bounds, for each way of balancing alike.
"""

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

# Chooses a replica, given how many requests are at each, from 0 for none, and its number so far.
Policy = Callable[[Sequence[int], int, Random], int]


@dataclass(frozen=True, slots=True)
class Load:
    """How many requests come, and to how many replicas."""

    replicas: int
    utilization: float  # of the time that replicas have, that the requests take
    requests: int
    seed: int = 0


def round_robin(outstanding: Sequence[int], number: int, _: Random) -> int:
    """Choose the next replica, whatever it has to do."""
    return number % len(outstanding)


def better_of_two(outstanding: Sequence[int], _: int, choose: Random) -> int:
    """Choose two replicas at random, and of them the one with fewer requests."""
    count = len(outstanding)
    first = int(choose.random() * count)
    second = (first + 1 + int(choose.random() * (count - 1))) % count
    return second if outstanding[second] < outstanding[first] else first


def least_outstanding(outstanding: Sequence[int], number: int, _: Random) -> int:
    """Choose a replica with the fewest requests; of several, each is the first by turns."""
    count = len(outstanding)
    return min(range(count), key=lambda one: (outstanding[one], (one - number) % count))


def latencies(services: Sequence[float], policy: Policy, load: Load) -> list[float]:
    """Simulate a load; return the seconds from each request to its answer.

    Each takes one of `services`, in seconds, at random. Equal seeds have equal requests at equal
    times, whatever the policy. The first tenth, in which queues fill, is left out.
    """
    arriving, choosing = Random(load.seed), Random(load.seed + 1)
    pause = sum(services) / len(services) / (load.replicas * load.utilization)
    ends: list[deque[float]] = [deque() for _ in range(load.replicas)]  # of requests not answered
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
    """Return the value that this share of them do not exceed."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]
