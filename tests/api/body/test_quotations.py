"""Strings as serde_json reads them: what escapes stand for, and where each is refused."""

import pytest

from app.api.body import quotations
from app.api.shapes.faults import Fault


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b'""', ""),
        (b'"cat"', "cat"),
        ('"é\U0001f600"'.encode(), "é\U0001f600"),
        (rb'"\"\\\/\b\f\n\r\t"', '"\\/\b\f\n\r\t'),
        (rb'"\u0069\ud83d\ude00"', "i\U0001f600"),
        (b'"' + b"a" * 200_000 + b'"', "a" * 200_000),
    ],
)
def test_a_string_is_read_to_its_end(content: bytes, text: str) -> None:
    assert quotations.read(b"[" + content + b",", 1) == (text, 1 + len(content))
    assert quotations.skip(b"[" + content + b",", 1) == 1 + len(content)


@pytest.mark.parametrize(
    ("content", "message", "at"),
    [
        (b'"a', "EOF while parsing a string", 2),
        (b'"a\\', "EOF while parsing a string", 3),
        (b'"\xff"', "invalid unicode code point", 3),
        (rb'"\x"', "invalid escape", 3),
        (rb'"\u00g0"', "invalid escape", 7),
        (rb'"\udc00"', "lone leading surrogate in hex escape", 7),
        (rb'"\ud800a"', "unexpected end of hex escape", 8),
        (rb'"\ud800\u0069"', "lone leading surrogate in hex escape", 13),
        (b'"\n"', "control character (\\u0000-\\u001F) found while parsing a string", 2),
    ],
)
def test_an_invalid_string_is_refused_at_its_byte(content: bytes, message: str, at: int) -> None:
    with pytest.raises(Fault) as caught:
        quotations.read(content, 0)
    assert (caught.value.message, caught.value.at, caught.value.syntax) == (message, at, True)


@pytest.mark.parametrize("content", [b'"\xff"', rb'"\udc00"', rb'"\ud800a"'])
def test_an_ignored_string_need_not_be_unicode(content: bytes) -> None:
    assert quotations.skip(content, 0) == len(content)
