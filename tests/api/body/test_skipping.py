"""Ignored values: skipped to their end at any depth, and refused where they are no JSON."""

import pytest

from app.api.body import skipping
from app.api.body.scanner import Scanner
from app.api.shapes.faults import Fault


@pytest.mark.parametrize(
    "value",
    [
        b"null",
        b'"a,]"',
        b"-1.5e3",
        b"[]",
        b"{}",
        b'[1,[2,{"a":[]}],"b"]',
        b'{"a":{"b":[1,{}]},"c":null}',
        b"[" * 5000 + b"]" * 5000,
    ],
)
def test_a_value_is_taken_whole(value: bytes) -> None:
    scanner = Scanner(b" " + value + b",7")
    skipping.skip(scanner)
    assert scanner.body[scanner.at :] == b",7"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (b"", "EOF while parsing a value"),
        (b"[1", "EOF while parsing a list"),
        (b'{"a":1', "EOF while parsing an object"),
        (b"[1}", "expected `,` or `]`"),
        (b'{"a":1]', "expected `,` or `}`"),
        (b"{1:2}", "key must be a string"),
        (b'{"a" 1}', "expected `:`"),
        (b"[nul]", "expected ident"),
    ],
)
def test_invalid_json_is_refused(value: bytes, message: str) -> None:
    with pytest.raises(Fault) as caught:
        skipping.skip(Scanner(value))
    assert (caught.value.message, caught.value.syntax) == (message, True)
