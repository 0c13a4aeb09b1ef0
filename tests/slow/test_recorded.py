"""All of TEI 1.9.3's recorded requests, sent here over HTTP to the same models: equal answers.

Each exception is one of the rows or points of `docs/compatibility.md` that `ROWS` names.
"""

import contextlib
import http.client
import json
import math
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pytest

from tests.recorded import MODELS, Exchange, exchanges
from tests.recorded.reading import SHAPES, said_with_null_refused
from tests.recorded.weights import checkpoint
from tools.process import ROOT, Server

if TYPE_CHECKING:
    import socket

pytestmark = pytest.mark.slow

NOISE = 1e-5  # of float32, between builds of ONNX Runtime
HALF_A_DIGIT = 5e-5  # of a number written with five digits

HINT = "; --max-client-batch-size raises it"
TOO_LARGE = "> maximum allowed batch size 32"


@dataclass(frozen=True)
class Answer:
    """An answer."""

    status: int
    headers: Mapping[str, str]
    body: str


class Client:
    """A client on one connection, for as long as that is kept."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._kept = contextlib.ExitStack()
        self._connection: socket.socket | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._kept.close()

    def ask(self, exchange: Exchange) -> Answer:
        """Send the bytes of a request as TEI got them."""
        if self._connection is None:
            self._connection = self._kept.enter_context(self._server.connect())
        self._connection.sendall(exchange.as_sent)
        with http.client.HTTPResponse(self._connection, method=exchange.method) as answer:
            answer.begin()
            headers = {name.lower(): value for name, value in answer.getheaders()}
            found = Answer(answer.status, headers, answer.read().decode())
        if headers.get("connection") == "close":
            self._kept.close()
            self._connection = None
        return found


def is_near(theirs: Any, ours: Any) -> bool:
    """Return whether two JSON values are equal but for the noise of their numbers."""
    if isinstance(theirs, float):
        tolerance = NOISE + HALF_A_DIGIT * abs(theirs)
        return isinstance(ours, int | float) and math.isclose(
            theirs, ours, rel_tol=0, abs_tol=tolerance
        )
    if isinstance(theirs, list):
        return (
            isinstance(ours, list) and len(theirs) == len(ours) and all(map(is_near, theirs, ours))
        )
    if isinstance(theirs, dict):
        return (
            isinstance(ours, dict)
            and list(theirs) == list(ours)
            and all(map(is_near, theirs.values(), ours.values()))
        )
    return type(theirs) is type(ours) and theirs == ours


def is_equal(theirs: Exchange, ours: Answer) -> bool:
    """Return whether status, content type, the recorded headers and the body are equal."""
    named = {name: ours.headers.get(name) for name in theirs.answer_headers}
    if (theirs.status, theirs.content_type) != (ours.status, ours.headers.get("content-type")):
        return False
    if named != dict(theirs.answer_headers):
        return False
    if theirs.numbers is None:
        return theirs.body == ours.body
    return is_near(theirs.numbers, json.loads(ours.body))


def _has_hint(theirs: Exchange, ours: Answer) -> bool:
    return (theirs.body or "").replace(TOO_LARGE, TOO_LARGE + HINT) == ours.body


def _has_error_object(theirs: Exchange, ours: Answer) -> bool:
    is_error = theirs.target in {"/v1/embeddings", "/embeddings"} and theirs.status >= 400
    if not is_error or theirs.content_type != "application/json" or theirs.status != ours.status:
        return False
    content = json.loads(ours.body)
    error = content.pop("error")
    kept = {"message": content["message"], "type": content["type"], "code": content["code"]}
    is_theirs: bool = content == json.loads(theirs.body or "")
    return is_theirs and error == {**kept, "param": None}


def _is_null_absent(theirs: Exchange, ours: Answer) -> bool:
    del ours
    is_read = theirs.target in SHAPES and b"null" in theirs.content
    return is_read and said_with_null_refused(theirs) == theirs.body


def _is_lax_media_type(theirs: Exchange, ours: Answer) -> bool:
    return theirs.status == 415 and ours.status == 200 and theirs.headers[0][1][-1] != "n"


def _is_empty_first(theirs: Exchange, ours: Answer) -> bool:
    return (
        "should be smaller than the maximum embedding dimension" in (theirs.body or "")
        and ours.status == 400
        and "cannot be empty" in ours.body
    )


def _is_spare_slash(theirs: Exchange, ours: Answer) -> bool:
    return theirs.target == "/v1/embeddings/" and (theirs.status, ours.status) in {
        (404, 405),
        (200, 200),
    }


def _is_within_openai_s_limit(theirs: Exchange, ours: Answer) -> bool:
    del ours
    return theirs.target == "/v1/embeddings" and TOO_LARGE in (theirs.body or "")


# The beginning of a row or a point, and a test of whether it explains a difference.
ROWS: Mapping[str, Callable[[Exchange, Answer], bool]] = {
    "- The error of a batch or body that is too large ": _has_hint,
    "- `/v1/embeddings` errors: ": _has_error_object,
    "| `null` for `normalize`, ": _is_null_absent,
    "| a content type that is no strict MIME type is 415": _is_lax_media_type,
    "| `dimensions` above the width, with an empty input": _is_empty_first,
    "| `/v1/embeddings/`, `//v1/embeddings` are 404 |": _is_spare_slash,
    "| `/v1/embeddings` takes `--max-client-batch-size` (32) inputs |": _is_within_openai_s_limit,
}


@pytest.fixture(scope="module", params=MODELS)
def served(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Path, Server]]:
    """One of the models that TEI answered with, exported and served; its name and its folder."""
    name, root = request.param, tmp_path_factory.mktemp("recorded")
    made = checkpoint(name, root / name)
    subprocess.run(
        [sys.executable, "-m", "export", str(made), "--models-dir", str(root / "models")],
        cwd=ROOT,
        check=True,
    )
    folder = root / "models" / name
    flags = ("--model-id", str(folder), "--provider", "cpu", "--dtype", "float32")
    with Server(*flags, log=root / "log") as server:
        server.wait_ready()
        yield name, folder, server


def test_every_answer_is_tei_s_or_has_its_row(served: tuple[str, Path, Server]) -> None:
    name, folder, server = served
    unexplained = []
    with Client(server) as client:
        for theirs in exchanges(name, folder):
            ours = client.ask(theirs)
            if not is_equal(theirs, ours) and not any(row(theirs, ours) for row in ROWS.values()):
                unexplained.append((theirs, ours))
    assert unexplained == []


def test_each_row_is_there() -> None:
    page = (ROOT / "docs" / "compatibility.md").read_text().splitlines()
    assert [row for row in ROWS if not any(line.startswith(row) for line in page)] == []
