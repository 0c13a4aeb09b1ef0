"""Every body of the fuzzing corpus passes the fuzzer's checks."""

from collections.abc import Iterator

import pytest

from tools.client import Reply
from tools.fuzz import reading
from tools.fuzz.corpus import FOUND, bodies
from tools.fuzz.service import Applications, fault_of

BODIES = bodies()
each_body = pytest.mark.parametrize("content", BODIES.values(), ids=BODIES.keys())


@pytest.fixture(scope="module")
def applications(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Applications]:
    with Applications(tmp_path_factory.mktemp("kinds")) as made:
        yield made


@each_body
def test_it_is_read_or_refused(content: bytes) -> None:
    reading.check(content)


@each_body
def test_every_route_answers_it(applications: Applications, content: bytes) -> None:
    applications.check(content)


def test_the_corpus_has_what_was_found() -> None:
    assert len(BODIES) > 100
    assert {path.read_bytes() for path in FOUND.iterdir()} <= set(BODIES.values())


@pytest.mark.parametrize(
    ("status", "kind", "content", "fault"),
    [
        (200, "application/json", b"[[0.5]]", None),
        (200, "application/json", b"[[null]]", "a number that is none"),
        (200, "application/json", b"[[NaN]]", "no JSON"),
        (500, "application/json", b"{}", "status 500"),
        (200, "text/plain; charset=utf-8", b"ok", "plain text"),
        (422, "text/plain; charset=utf-8", b"", "plain text"),
        (422, "text/html", b"", "content type text/html"),
        (422, "text/plain; charset=utf-8", b"no", None),
    ],
)
def test_a_wrong_answer_is_noticed(
    status: int, kind: str, content: bytes, fault: str | None
) -> None:
    found = fault_of("/embed", Reply(status, {"content-type": kind}, content))
    assert found is None if fault is None else (found or "").startswith(fault)
