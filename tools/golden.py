"""Golden exchanges: requests and TEI's answers, one row of its behaviour each.

A file of `tests/api/golden/` names the sources it follows. An exchange has the row it stands for, the kinds
of model it holds for (all, unless it says so), `settings` that differ from the defaults, how many
permits are `taken`, what is asked (`body` as JSON, `raw` as text, or `hex`), and what is answered. In the answer's `json`, "*"
is any value, and a key "..." lets an object have more than TEI's keys. `text` is the whole body and
`begins` how it begins. Of `answer_headers`, null is one that is not there, "#" a whole number.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from starlette.types import ASGIApp

from app.model.names import Task
from tools.asgi import request
from tools.client import JSON, Reply
from tools.process import ROOT

FILES = sorted((ROOT / "tests/api/golden").glob("*.json"))
KINDS = get_args(Task)


@dataclass(frozen=True, slots=True)
class Exchange:
    """One row of a file, for one kind of model."""

    row: str
    kind: Task
    ask: str
    status: int
    settings: Mapping[str, Any] = field(default_factory=dict)
    taken: int = 0
    headers: Mapping[str, str] | None = None
    body: Any = None
    raw: str | None = None
    hex: str | None = None
    json: Any = None
    text: str | None = None
    begins: str | None = None
    answer_headers: Mapping[str, str | None] = field(default_factory=dict)

    @property
    def content(self) -> bytes:
        if self.hex is not None:
            return bytes.fromhex(self.hex)
        if self.raw is not None:
            return self.raw.encode()
        return b"" if self.body is None else json.dumps(repeated(self.body)).encode()

    def send(self, app: ASGIApp) -> Reply:
        method, _, path = self.ask.partition(" ")
        default = JSON if method == "POST" else {}
        headers = default if self.headers is None else self.headers
        return request(app, method, path, self.content, headers)


def repeated(value: Any) -> Any:
    """The value, with {"repeat": [TEXT, TIMES]} and {"copies": [VALUE, TIMES]} written out."""
    if isinstance(value, list):
        return [repeated(one) for one in value]
    if not isinstance(value, dict):
        return value
    if "repeat" in value:
        text, times = value["repeat"]
        return text * times
    if "copies" in value:
        one, times = value["copies"]
        return [repeated(one)] * times
    return {name: repeated(one) for name, one in value.items()}


def exchanges(path: Path) -> Iterator[Exchange]:
    """The exchanges of one file, for each kind of model that they hold for."""
    for one in json.loads(path.read_text())["exchanges"]:
        for kind in one.pop("kinds", KINDS):
            yield Exchange(kind=kind, **one)


EXCHANGES = [one for path in FILES for one in exchanges(path)]
