"""The metrics of a server under load equal its clients' counts, to the last request."""

import http.client
import json
import random
import re
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tools import tiny
from tools.process import Server, eventually

CLIENTS = 6
REQUESTS = 150  # per client
PERMITS = 8
DROPPED = 'te_request_failure{err="dropped"}'
HASTY = {"x-request-timeout-ms": "0"}


@dataclass(frozen=True)
class Kind:
    """A request, its answer where there is room, and the series that count it."""

    path: str
    body: Any
    status: int = 200
    failure: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


def embed(texts: Sequence[str]) -> Kind:
    return Kind("/embed", {"inputs": texts})


OTHERS = (
    Kind("/embed", {"inputs": "the cat"}),
    Kind("/v1/embeddings", {"input": ["dog", "a b c"]}),
    Kind("/embed", {"inputs": ["a"] * (PERMITS + 1)}, 422, "batch_size"),
    Kind("/embed", {"inputs": ""}, 400, "tokenization"),
    Kind("/embed", {"inputs": "a " * 20, "truncate": False}, 422, "tokenization"),
    Kind("/embed", {"inputs": "a", "dimensions": 0}, 422, "validation"),
    Kind("/predict", {"inputs": "a"}, 424, "model_type"),
    Kind("/embed", {"inputs": "the cat"}, 504, "deadline", HASTY),
    Kind("/embed", {"inputs": 5}, 422),
    Kind("/tokenize", {"inputs": "a"}),
    Kind("/nowhere", {}, 404),
)


class Client:
    """A client that sends random requests, and counts outcomes by the names of the metrics."""

    def __init__(self, server: Server, seed: int) -> None:
        self._server = server
        self._dice = random.Random(seed)
        self.found: Counter[str] = Counter()

    def run(self) -> None:
        with closing(http.client.HTTPConnection("127.0.0.1", self._server.port)) as connection:
            for _ in range(REQUESTS):
                kind = self._choose()
                headers = {"content-type": "application/json", **kind.headers}
                connection.request("POST", kind.path, json.dumps(kind.body), headers)
                answer = connection.getresponse()
                answer.read()
                self._count(kind, answer.status)

    def _choose(self) -> Kind:
        if self._dice.random() < 0.5:
            return self._dice.choice(OTHERS)
        words = tiny.WORDS[4:]
        count = self._dice.randint(1, PERMITS)
        return embed([" ".join(self._dice.choices(words, k=1 + k)) for k in range(count)])

    def _count(self, kind: Kind, status: int) -> None:
        path = "other" if status == 404 else kind.path
        self.found[f'te_http_response_count{{path="{path}",status="{status}"}}'] += 1
        assert status in {kind.status, 429}, kind
        if status == 429:
            self.found['te_request_failure{err="overloaded"}'] += 1
        elif kind.failure is not None:
            self.found[f'te_request_failure{{err="{kind.failure}"}}'] += 1
        elif status == 200 and kind.path != "/tokenize":
            self._count_inputs(kind.body.get("inputs") or kind.body["input"])

    def _count_inputs(self, given: str | list[str]) -> None:
        method = "single" if isinstance(given, str) else "batch"
        texts = [given] if isinstance(given, str) else given
        lengths = [min(len(tiny.ids_of(text)), tiny.MAX_LENGTH) for text in texts]
        self.found[f'te_request_success{{method="{method}"}}'] += 1
        self.found["te_request_duration_count"] += 1
        for name in ("te_embed_success", "te_embed_duration_count"):
            self.found[name] += len(texts)
        self.found["te_request_input_length_count"] += len(texts)
        self.found["te_request_input_length_sum"] += sum(lengths)


def shown(server: Server) -> dict[str, int]:
    """Return every series that is no bucket and not 0; of durations, the count."""
    text = server.get("/metrics").text
    found = re.findall(r"^(\w+(?:\{.*\})?) (\d+)$", text, re.MULTILINE)
    return {name: int(value) for name, value in found if value != "0" and "_bucket" not in name}


@pytest.fixture
def server(tiny_model: Path) -> Iterator[Server]:
    limits = ("--max-concurrent-requests", str(PERMITS), "--max-client-batch-size", str(PERMITS))
    with Server("--model-id", str(tiny_model), *limits, "--log-level", "off") as running:
        running.wait_ready()
        yield running


def test_the_metrics_are_what_the_clients_counted(server: Server) -> None:
    clients = [Client(server, seed) for seed in range(CLIENTS)]
    threads = [threading.Thread(target=client.run) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    counted = sum((client.found for client in clients), Counter[str]())
    responses = {name: n for name, n in counted.items() if name.startswith("te_http_")}
    assert sum(responses.values()) == CLIENTS * REQUESTS  # no client failed
    assert counted['te_request_failure{err="overloaded"}'] > 0
    eventually(lambda: "te_permits_taken" not in shown(server))
    series = shown(server)
    asked = {name: n for name, n in series.items() if '"/metrics"' not in name}
    assert {name: n for name, n in asked.items() if name in counted} == counted
    of_requests = ("te_http_", "te_request_failure", "te_request_success")
    others = {name for name in asked if name.startswith(of_requests)} - set(counted)
    assert others <= {DROPPED}
    # Of requests that clients gave up, some ran before the worker knew.
    given_up = counted['te_request_failure{err="deadline"}']
    assert series.get(DROPPED, 0) <= given_up
    rows = series["te_batch_next_size_sum"] + series.get("te_rows_shared", 0)
    assert 0 <= rows - counted["te_embed_success"] <= given_up
