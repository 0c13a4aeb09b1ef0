"""What TEI 1.9.3 answered to bodies of every kind, and what is answered here.

`recorded/` holds an exchange a line. Those of `refused.jsonl` are bodies that TEI could not read:
status and text are the same here, whole. Those of `read.jsonl` it could read, on a model of each
kind that is named: they are read here too. The models here are others, so that what is computed is
not compared. Each exception has its row in `docs/compatibility.md`.
"""

import base64
import itertools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from app.api import body, streaming
from app.api.faults import Fault, refusal
from app.api.fields import Field, Shape, Variant
from app.api.tokens import DECODE, TOKENIZE
from app.api.vertex import VERTEX
from app.errors import UnreadableRequest
from tests.api.conftest import MakeKind
from tests.asgi import Reply, request
from tests.fuzz.reading import VERBS

RECORDED = Path(__file__).parent / "recorded"
VERB_SHAPES = {f"/{verb.name}": verb.shape for verb in VERBS}
EMBEDDINGS = VERB_SHAPES["/openai_embed"]
SHAPES: dict[str, Shape] = VERB_SHAPES | {
    "/v1/embeddings": EMBEDDINGS,
    "/embeddings": EMBEDDINGS,
    "/tokenize": TOKENIZE,
    "/decode": DECODE,
    "/vertex": VERTEX,
}


@dataclass(frozen=True, slots=True)
class Recorded:
    """A body that was posted to TEI, and what it answered."""

    path: str
    content: bytes
    status: int
    kinds: tuple[str, ...]
    text: str | None  # the whole answer, where it is no JSON
    error: str | None  # what its JSON says is wrong


def recorded(name: str) -> dict[str, list[Recorded]]:
    """The exchanges of a file, by path."""
    found: dict[str, list[Recorded]] = {}
    for line in (RECORDED / name).read_text().splitlines():
        one = json.loads(line)
        content = base64.b64decode(one["base64"]) if "base64" in one else one["body"].encode()
        found.setdefault(one["path"], []).append(
            Recorded(
                one["path"],
                content,
                one["status"],
                tuple(one["kinds"]),
                one.get("text"),
                one.get("error"),
            )
        )
    return found


REFUSED, READ = recorded("refused.jsonl"), recorded("read.jsonl")


class NullRefused(streaming.Reader):
    """Reads as TEI does where `null` stands for a value that is no option."""

    def _field(self, field: Field) -> Any:
        if field.default is None and not isinstance(field.read, Variant):
            return super()._field(field)
        return self.value(field.read)


def said_with_null_refused(exchange: Recorded) -> str | None:
    """What would be said of a body if no field took `null` that does not take it in TEI."""
    try:
        NullRefused(exchange.content).struct(SHAPES[exchange.path])
    except Fault as fault:
        return str(refusal(fault, exchange.content))
    return None


class Asked:
    """Posts to a model of the kind that is wanted, which is made when it first is."""

    def __init__(self, make_kind: MakeKind) -> None:
        self._make = make_kind
        self._apps: dict[str, Any] = {}

    def post(self, kind: str, exchange: Recorded) -> Reply:
        if kind not in self._apps:
            self._apps[kind] = self._make(kind)
        return request(self._apps[kind], "POST", exchange.path, exchange.content)


@pytest.mark.parametrize("path", REFUSED)
def test_what_tei_cannot_read(make_kind: MakeKind, path: str) -> None:
    asked, different = Asked(make_kind), []
    for one in REFUSED[path]:
        reply = asked.post(one.kinds[0], one)
        by_row = one.text == said_with_null_refused(one)  # row "`null` for `normalize`, …"
        if (reply.status, reply.text) != (one.status, one.text) and not by_row:
            different.append((one.content, one.text, reply.text))
    assert different == []


def test_null_alone_makes_a_difference() -> None:
    """The row about `null` excuses no body that has none."""
    for one in itertools.chain.from_iterable(REFUSED.values()):
        if b"null" not in one.content:
            with pytest.raises(UnreadableRequest) as caught:
                body.read(one.content, SHAPES[one.path])
            assert (caught.value.status, str(caught.value)) == (one.status, one.text)


@pytest.mark.parametrize("path", READ)
def test_what_tei_reads(make_kind: MakeKind, path: str) -> None:
    """It is read here as well; an instance of `/vertex` is refused in the same words."""
    asked, different = Asked(make_kind), []
    for one in READ[path]:
        for kind in one.kinds:
            reply = asked.post(kind, one)
            is_read = reply.headers["content-type"] == "application/json"
            compared = path == "/vertex" and one.status != 200
            if not is_read or (
                compared and (reply.status, reply.json["error"]) != (one.status, one.error)
            ):
                different.append((kind, one.content, one.error, reply.text))
    assert different == []
