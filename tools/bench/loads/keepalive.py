"""A client with a kept connection, and a load from many of them where `wrk` is missing."""

import http.client
import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from urllib.parse import urlsplit

JSON = {"content-type": "application/json"}
SECONDS = 600  # timeout of an answer


class Connection:
    """A kept connection."""

    def __init__(self, url: str) -> None:
        place = urlsplit(url)
        self._kept = http.client.HTTPConnection(
            place.hostname or "", place.port or 80, timeout=SECONDS
        )

    def post(self, path: str, body: bytes) -> bytes:
        """Return the content of an answer.

        Raises: RuntimeError for any but 200.
        """
        self._kept.request("POST", path, body, JSON)
        answer = self._kept.getresponse()
        content = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"the server refused a request: {answer.status} {content[:200]!r}")
        return content

    def close(self) -> None:
        """Hang up."""
        self._kept.close()


def load(
    url: str, path: str, bodies: Sequence[bytes], connections: int, seconds: float
) -> tuple[int, float, float]:
    """Load a server over several connections; return answers, their seconds, and the median."""
    waiting = iter(bodies)  # threads may share a list's iterator

    def work(_: int) -> list[float]:
        found = []
        with closing(Connection(url)) as connection:
            while (begun := time.perf_counter()) - started < seconds:
                body = next(waiting, None)
                if body is None:
                    break
                connection.post(path, body)
                found.append(time.perf_counter() - begun)
        return found

    started = time.perf_counter()
    with ThreadPoolExecutor(connections) as pool:
        latencies = [each for found in pool.map(work, range(connections)) for each in found]
    return len(latencies), time.perf_counter() - started, statistics.median(latencies)
