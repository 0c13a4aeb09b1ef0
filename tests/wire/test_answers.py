"""Heads of answers: the status line, the end of their body, and invalid headers."""

import re

import pytest

from app.wire import answers
from app.wire.answers import Asked

NEW, OLD = Asked("1.1", is_head=False), Asked("1.0", is_head=False)
LENGTH = (b"content-length", b"2")


@pytest.mark.parametrize(
    ("asked", "headers", "keeps", "more", "in_chunks"),
    [
        (NEW, [LENGTH], True, b"", False),
        (NEW, [LENGTH], False, b"connection: close\r\n", False),
        (NEW, [], True, b"transfer-encoding: chunked\r\n", True),
        (OLD, [LENGTH], True, b"connection: keep-alive\r\n", False),
        (OLD, [], False, b"connection: close\r\n", False),
        (NEW, [LENGTH, (b"connection", b"close")], True, b"", False),
    ],
)
def test_a_head_says_how_its_body_and_its_connection_end(
    asked: Asked,
    headers: list[tuple[bytes, bytes]],
    keeps: bool,
    more: bytes,
    in_chunks: bool,
) -> None:
    content, chunked = answers.head(asked, 200, headers, keeps=keeps)
    beginning = b"HTTP/%b 200 OK\r\n" % asked.version.encode()
    beginning += b"".join(b"%b: %b\r\n" % one for one in headers)
    date = re.escape(beginning) + rb"date: \w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT\r\n"
    assert re.fullmatch(date + re.escape(more + b"\r\n"), content)
    assert chunked == in_chunks


@pytest.mark.parametrize("status", [204, 304])
def test_a_status_without_a_body_needs_no_length(status: int) -> None:
    assert answers.head(NEW, status, [], keeps=True)[1] is False


@pytest.mark.parametrize("value", [b"a\r\nb: c", b"a\n", b"\r"])
def test_a_header_that_would_end_its_line_is_a_mistake(value: bytes) -> None:
    with pytest.raises(ValueError, match="a header of an answer ends its line"):
        answers.head(NEW, 200, [(b"a", value)], keeps=True)


def test_a_refusal_is_the_last_answer_and_has_no_body() -> None:
    content = answers.refusal(429, (b"retry-after", b"1"))
    assert content.startswith(b"HTTP/1.1 429 Too Many Requests\r\nretry-after: 1\r\n")
    assert b"\r\ncontent-length: 0\r\n" in content
    assert content.endswith(b"connection: close\r\n\r\n")


def test_parts_of_a_body_go_in_chunks_and_the_last_says_so() -> None:
    assert answers.in_chunks(b"a" * 26, more=True) == b"1a\r\n" + b"a" * 26 + b"\r\n"
    assert answers.in_chunks(b"a", more=False) == b"1\r\na\r\n0\r\n\r\n"
    assert answers.in_chunks(b"", more=True) == b""
    assert answers.in_chunks(b"", more=False) == b"0\r\n\r\n"


def test_an_unknown_status_has_no_words() -> None:
    assert answers.status_line("1.1", 299) == b"HTTP/1.1 299 "
