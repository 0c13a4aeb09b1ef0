"""A client on one kept connection, and what many of them make of a server where `wrk` is not there."""

import http.client
import statistics
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from urllib.parse import urlsplit

JSON = {"content-type": "application/json"}
SECONDS = 600  # of an answer, at most


class Connection:
    """A connection that asks again and again."""

    def __init__(self, url: str) -> None:
        place = urlsplit(url)
        self._kept = http.client.HTTPConnection(
            place.hostname or "", place.port or 80, timeout=SECONDS
        )

    def post(self, path: str, body: bytes) -> bytes:
        """The content of an answer.

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
    """Answers, the seconds they took, and their median, over so many connections at once."""
    waiting = iter(bodies)  # of a list, which threads may share

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
