"""The traffic of a soak: requests of every kind and length, good and bad, and their answers."""

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.proof.bounds import WORST_COSINE
from app.proof.probes import Probes
from tools.soak.client import Answer
from tools.texts import passages

# The least cosine of a right vector, by the precision that its header names.
LEAST: dict[str, float] = {str(dtype): least for dtype, least in WORST_COSINE.items()}

KEY = "soak"
MAX_INPUTS = 64  # per request, and permits of the server: so some requests are refused
COMPUTED = frozenset({200, 429})
HASTY = frozenset({200, 429, 504})

# Each with the status of TEI's answer.
BAD_BODIES: Sequence[tuple[str, bytes, int]] = (
    ("/embed", b"", 400),
    ("/embed", b"{", 400),
    ("/embed", b'{"inputs":"\\ud800"}', 400),
    ("/embed", b'{"inputs":' + b"[" * 10_000, 400),
    ("/embed", b'{"inputs":"\xff"}', 400),
    ("/embed", b'{"inputs":[1e999]}', 400),
    ("/embed", b'{"inputs":NaN}', 400),
    ("/embed", b'{"inputs":5}', 422),
    ("/embed", b'{"inputs":"a","inputs":"b"}', 422),
    ("/embed", b'{"inputs":"a","dimensions":0}', 422),
    ("/embed", b'{"inputs":"a","dimensions":100000}', 422),
    ("/embed", b'{"inputs":[[4294967296]]}', 422),
    ("/embed", b'{"inputs":"a","prompt_name":"none"}', 422),
    ("/embed", json.dumps({"inputs": ["a"] * (MAX_INPUTS + 1)}).encode(), 422),
    ("/embed", json.dumps({"inputs": "a " * 1000, "truncate": False}).encode(), 422),
    ("/embed", json.dumps({"inputs": "a" * 2_000_000}).encode(), 413),
    ("/embed", b'{"inputs":["a",""]}', 400),
    ("/embed_sparse", b'{"inputs":"a"}', 424),
    ("/predict", b'{"inputs":"a"}', 424),
    ("/rerank", b'{"query":"a","texts":["b"]}', 424),
    ("/similarity", b'{"inputs":{"source_sentence":"a","sentences":[]}}', 400),
    ("/decode", b'{"ids":[-1]}', 422),
    ("/v1/embeddings", b'{"inputs":"a"}', 422),
    ("/nowhere", b"{}", 404),
)


@dataclass(frozen=True, slots=True)
class Request:
    """One request, with its allowed statuses and the check of its 200."""

    name: str
    content: bytes
    statuses: frozenset[int]
    fault: Callable[[Answer], str | None]

    def fault_of(self, answer: Answer) -> str | None:
        """Return what is wrong with an answer, or None."""
        if answer.status not in self.statuses:
            return f"{self.name}: status {answer.status}, {answer.content[:200]!r}"
        if answer.status == 429 and answer.headers.get("retry-after") != "1":
            return f"{self.name}: 429 without Retry-After"
        try:
            fault = self.fault(answer) if answer.status == 200 else None
        except (ValueError, KeyError, TypeError) as error:
            fault = f"an answer that cannot be read: {error!r}, {answer.content[:200]!r}"
        return None if fault is None else f"{self.name}: {fault}"


class Traffic:
    """Makes requests at random; `probes` are texts whose vectors are known."""

    def __init__(self, probes: Probes, seed: int) -> None:
        self._random = random.Random(seed)
        self._probes = probes
        self._passages = passages(400, 600, seed)
        self._vectors = probes.vectors / np.linalg.norm(probes.vectors, axis=1, keepdims=True)
        self._makers = {
            self._embed: 30,
            self.known: 20,
            self._bad: 15,
            self._openai: 10,
            self._hasty: 6,
            self._similarity: 5,
            self._tokenize: 5,
            self._embed_all: 4,
            self._look: 4,
            self._unauthorized: 1,
        }

    def next(self) -> Request:
        """Return another request."""
        [make] = self._random.choices(list(self._makers), list(self._makers.values()))
        return make()

    def part(self) -> bytes:
        """Return a request, or the beginning of one, for a client that then vanishes."""
        content = self.next().content
        whole = self._random.random() < 0.5
        return content if whole else content[: self._random.randrange(len(content))]

    def _texts(self) -> list[str]:
        count = 1 if self._random.random() < 0.5 else self._random.randint(1, 32)
        return [self._text() for _ in range(count)]

    def _text(self) -> str:
        kind = self._random.random()
        if kind < 0.02:  # far more than the model can take
            return self._random.choice(self._passages) * self._random.randint(10, 100)
        if kind < 0.1:  # any characters, of every plane
            size = self._random.randint(1, 50)
            return (
                "".join(chr(self._random.randrange(1, 0xD800)) for _ in range(size)) + "\U0001f600"
            )
        words = self._random.choice(self._passages).split(" ")
        return " ".join(words[: 1 + int(self._random.expovariate(1 / 40))]) or "word"

    def _embed(self) -> Request:
        texts = self._texts()
        return _post("/embed", {"inputs": texts}, COMPUTED, _has_rows(len(texts)))

    def _hasty(self) -> Request:
        texts = self._texts()
        headers = {"x-request-timeout-ms": str(self._random.randint(1, 100))}
        return _post("/embed", {"inputs": texts}, HASTY, _has_rows(len(texts)), headers)

    def _embed_all(self) -> Request:
        texts = self._texts()
        return _post("/embed_all", {"inputs": texts}, COMPUTED, _has_rows(len(texts)))

    def _similarity(self) -> Request:
        texts = self._texts()
        inputs = {"source_sentence": self._text(), "sentences": texts}
        return _post("/similarity", {"inputs": inputs}, COMPUTED, _has_rows(len(texts)))

    def _tokenize(self) -> Request:
        return _post("/tokenize", {"inputs": ["the cat"] * 3}, COMPUTED, _has_rows(3))

    def _openai(self) -> Request:
        texts = self._texts()
        encoding = self._random.choice(["float", "base64"])
        body = {"input": texts, "encoding_format": encoding}
        check = _has_rows(len(texts), lambda found: found["data"])
        return _post("/v1/embeddings", body, COMPUTED, check)

    def known(self) -> Request:
        count = self._random.randint(1, min(8, len(self._probes)))
        places = self._random.sample(range(len(self._probes)), count)
        body = {"inputs": [self._probes.texts[place] for place in places]}
        return _post("/embed", body, COMPUTED, _is_close(self._vectors[places]))

    def _look(self) -> Request:
        path = self._random.choice(["/health", "/livez", "/readyz", "/info", "/metrics", "/docs/"])
        # While it shuts down, a server says that it is not ready.
        statuses = {200, 503} if path in {"/health", "/readyz"} else {200}
        return Request(path, _http("GET", path), frozenset(statuses), _is_anything)

    def _bad(self) -> Request:
        path, body, status = self._random.choice(BAD_BODIES)
        # A large body may also find no room, or no permits.
        statuses = frozenset({status, 429}) if path != "/nowhere" else frozenset({status})
        return Request(f"bad {path}", _http("POST", path, body), statuses, _is_anything)

    def _unauthorized(self) -> Request:
        content = _http("POST", "/embed", b'{"inputs":"a"}', {"authorization": "Bearer wrong"})
        return Request("unauthorized", content, frozenset({401}), _is_anything)


def _post(
    path: str,
    body: object,
    statuses: frozenset[int],
    fault: Callable[[Answer], str | None],
    headers: dict[str, str] | None = None,
) -> Request:
    content = _http("POST", path, json.dumps(body).encode(), headers or {})
    return Request(path, content, statuses, fault)


def _http(
    method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
) -> bytes:
    given = {
        "host": "soak",
        "content-type": "application/json",
        "content-length": str(len(body)),
        "authorization": f"Bearer {KEY}",
        **(headers or {}),
    }
    lines = "".join(f"{name}: {value}\r\n" for name, value in given.items())
    return f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode() + body


def _is_anything(_: Answer) -> None:
    """Accept any content: the status is enough."""


def _has_rows(
    count: int, rows: Callable[[Any], Any] = lambda found: found
) -> Callable[[Answer], str | None]:
    def fault(answer: Answer) -> str | None:
        found = len(rows(json.loads(answer.content)))
        return None if found == count else f"{found} rows for {count} inputs"

    return fault


def _is_close(expected: NDArray[np.float32]) -> Callable[[Answer], str | None]:
    """Check that vectors are as close to the original model's as their precision allows."""

    def fault(answer: Answer) -> str | None:
        found = np.array(json.loads(answer.content), np.float32)
        if found.shape != expected.shape:
            return f"vectors of shape {found.shape}, not {expected.shape}"
        worst = float(np.einsum("nd,nd->n", found, expected).min())
        least = LEAST[answer.headers["x-compute-dtype"]]
        return None if worst >= least else f"wrong vector, cosine {worst:.5f}"

    return fault
