"""Measure queries with and without a batch beside them, by turns: `python -m tools.batches MODEL`.

Each round has a period without a batch and an equal one with it, on one server. The result is
the median over rounds, since other work on the machine comes and goes.
"""

import argparse
import http.client
import json
import random
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from tools import client, texts
from tools.process import Server, eventually

REQUESTS, WORDS = 20_000, 120  # requests of the batch, and words of the longest
NEW = {"endpoint": "/v1/embeddings", "completion_window": "24h"}
PACES = {"20 a second": 20.0, "as fast as one connection is answered": None}


class Half(NamedTuple):
    """One half of a round: milliseconds of each query, and requests of the batch per second."""

    queries: Sequence[float]
    pace: float

    def at(self, share: float) -> float:
        """Return a percentile of the queries' latency."""
        return sorted(self.queries)[min(len(self.queries) - 1, int(share * len(self.queries)))]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.batches")
    parser.add_argument("model", nargs="?", default="sentence-transformers/all-MiniLM-L6-v2")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=8.0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        flags = ["--model-id", asked.model, "--batch-dir", folder, "--log-level", "warn"]
        with Server(*flags, log=Path(folder) / "log") as server:
            server.wait_ready()
            server.wait_warm()
            file_id = _upload(server)
            with _batch(server, file_id):
                print(f"alone: {_pace(server, asked.seconds):.0f} requests of a batch a second")
            for name, pace in PACES.items():
                _tell(name, list(_rounds(server, file_id, pace, asked)))


def _rounds(
    server: Server, file_id: str, pace: float | None, asked: argparse.Namespace
) -> Iterator[tuple[Half, Half]]:
    for number in range(asked.rounds):
        without = _half(server, pace, asked.seconds, number)
        with _batch(server, file_id):
            beside = _half(server, pace, asked.seconds, number)
        yield without, beside


def _tell(name: str, rounds: Sequence[tuple[Half, Half]]) -> None:
    for share, word in ((0.5, "median"), (0.99, "99th percentile")):
        pairs = [(without.at(share), beside.at(share)) for without, beside in rounds]
        before, after = (statistics.median(side) for side in zip(*pairs, strict=True))
        ratio = statistics.median(after / before for before, after in pairs)
        print(
            f"queries {name}, {word}: {before:.1f} ms, beside a batch {after:.1f} ms, {ratio:.2f} x"
        )
    print(f"  of the batch, a second: {statistics.median(one.pace for _, one in rounds):.1f}")


def _half(server: Server, pace: float | None, seconds: float, seed: int) -> Half:
    """Send single short queries, at random moments or one after the other."""
    choose, queries = random.Random(seed), texts.passages(500, 12, seed)
    found: list[float] = []
    before, began = _done(server), time.perf_counter()
    due = began
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)) as connection:
        while time.perf_counter() - began < seconds:
            if pace is not None:
                due += choose.expovariate(pace)
                time.sleep(max(0.0, due - time.perf_counter()))
            body = json.dumps({"inputs": queries[len(found) % len(queries)]})
            asked = time.perf_counter()
            connection.request("POST", "/embed", body, client.JSON)
            connection.getresponse().read()
            found.append(1000 * (time.perf_counter() - asked))
    return Half(found, (_done(server) - before) / (time.perf_counter() - began))


def _pace(server: Server, seconds: float) -> float:
    before, began = _done(server), time.perf_counter()
    time.sleep(seconds)
    return (_done(server) - before) / (time.perf_counter() - began)


def _done(server: Server) -> int:
    batches = server.get("/v1/batches?limit=100").json["data"]
    return sum(one["request_counts"]["completed"] for one in batches)


def _upload(server: Server) -> str:
    lines = [
        {
            "custom_id": str(number),
            "method": "POST",
            "url": "/v1/embeddings",
            "body": {"input": text},
        }
        for number, text in enumerate(texts.passages(REQUESTS, WORDS))
    ]
    content = "\n".join(map(json.dumps, lines))
    head = 'Content-Disposition: form-data; name="'
    form = (
        f'--x\r\n{head}purpose"\r\n\r\nbatch\r\n--x\r\n{head}file"; filename="in"\r\n\r\n'
        f"{content}\r\n--x--\r\n"
    )
    kind = {"content-type": "multipart/form-data; boundary=x"}
    file_id: str = client.ask(server.port, "POST", "/v1/files", form.encode(), kind).json["id"]
    return file_id


@contextmanager
def _batch(server: Server, file_id: str) -> Iterator[None]:
    """Run a batch during the block, and cancel it at the end."""
    batch_id = server.post("/v1/batches", {**NEW, "input_file_id": file_id}).json["id"]

    def is_in(*states: str) -> bool:
        return server.get(f"/v1/batches/{batch_id}").json["status"] in states

    eventually(lambda: is_in("in_progress"))
    yield
    server.post(f"/v1/batches/{batch_id}/cancel", {})
    eventually(lambda: is_in("cancelled"))


if __name__ == "__main__":
    main()
