"""Bystander: an ordinary client, and what it sees during attacks."""

import contextlib
import http.client
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

SHORT = b'{"inputs":"what is the capital of france"}'
PAUSE = 0.05  # seconds between two requests


@dataclass(slots=True)
class Seen:
    """Outcomes of the requests to one path, and the seconds until each answer."""

    statuses: Counter[int] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)
    last: int = 0

    @property
    def worst(self) -> float:
        """The longest wait for an answer."""
        return max(self.seconds, default=float("inf"))


@dataclass(slots=True)
class Bystander:
    """A client that asks `/livez` and a short `/embed` in turn, each on a connection of its own."""

    port: int
    livez: Seen = field(default_factory=Seen)
    embed: Seen = field(default_factory=Seen)
    wrong: int = 0  # vectors that differ from the first

    @contextlib.contextmanager
    def looking(self) -> Iterator[None]:
        """Ask while the block runs, and once before."""
        expected = np.array(json.loads(self._ask(self.embed, "POST", "/embed", SHORT)), np.float64)
        self.embed = Seen()
        stopped = threading.Event()
        threads = [
            threading.Thread(target=self._ask_livez, args=(stopped,)),
            threading.Thread(target=self._ask_embed, args=(stopped, expected)),
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            stopped.set()
            for thread in threads:
                thread.join()

    def faults(self) -> list[str]:
        """Return what no client should see."""
        return [
            f"{path} answered {dict(seen.statuses)}"
            for path, seen, allowed in (
                ("/livez", self.livez, {200}),
                ("/embed", self.embed, {200, 429}),  # 429 where no permit is free
            )
            if not {200} <= set(seen.statuses) <= allowed
        ] + [f"{self.wrong} vectors were wrong"] * bool(self.wrong)

    def _ask_livez(self, stopped: threading.Event) -> None:
        while not stopped.wait(PAUSE):
            self._ask(self.livez, "GET", "/livez", b"")

    def _ask_embed(self, stopped: threading.Event, expected: "np.ndarray[tuple[int, int]]") -> None:
        while not stopped.wait(PAUSE):
            content = self._ask(self.embed, "POST", "/embed", SHORT)
            if self.embed.last == 200:
                self.wrong += not np.allclose(json.loads(content), expected, atol=1e-5)

    def _ask(self, seen: Seen, method: str, path: str, body: bytes) -> bytes:
        started = time.monotonic()
        status, content = 0, b""  # without an answer
        with contextlib.suppress(OSError, http.client.HTTPException):
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
            with contextlib.closing(connection):
                connection.request(method, path, body, {"content-type": "application/json"})
                answer = connection.getresponse()
                status, content = answer.status, answer.read()
        seen.seconds.append(time.monotonic() - started)
        seen.statuses[status] += 1
        seen.last = status
        return content
