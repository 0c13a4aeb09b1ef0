"""Bulk matching: runs of elements and members without faults, matched many at a time.

A run takes each with its comma, and never the last: what follows is again read token by token, so
no fault is found here. A pattern sees `LEVELS` levels of arrays and objects, within a window, since
no other thread runs while it matches.
"""

import json
import re
from collections.abc import Collection
from typing import Any

from app.api.body import numerals
from app.api.body.quotations import PASSED, POSSESSIVE, READ
from app.api.shapes.faults import Fault

LEVELS = 2
WINDOW = 32 * 1024

# Numbers that serde_json may read differently from Python.
_DOUBTFUL = re.compile(r"-0|[0-9]{16}|[0-9][eE]")
_SPACE = rb"[ \t\n\r]*+"
_NUMBER = rb"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?"
_MANY = rb"{1,1000}" + POSSESSIVE


def _value(string: bytes, levels: int) -> bytes:
    """Return a pattern for a value of at most `levels` levels, whose strings match `string`."""
    scalar = rb'%b"|%b|true|false|null' % (string, _NUMBER)
    if levels == 0:
        return rb"(?:%b)" % scalar
    inner = _value(string, levels - 1)
    array = rb"\[%b(?:%b%b(?:,%b(?=[^\]])|(?=\])))*%b\]" % (
        _SPACE,
        inner,
        _SPACE,
        _SPACE,
        POSSESSIVE,
    )
    member = rb'%b"%b:%b%b%b' % (string, _SPACE, _SPACE, inner, _SPACE)
    made = rb'\{%b(?:%b(?:,%b(?=")|(?=\})))*%b\}' % (_SPACE, member, _SPACE, POSSESSIVE)
    return rb"(?:%b|%b|%b)" % (scalar, array, made)


def _elements(string: bytes) -> re.Pattern[bytes]:
    value = _value(string, LEVELS)
    return re.compile(rb"(?:%b%b,%b(?=[^\]]))%b" % (value, _SPACE, _SPACE, _MANY))


def _members(string: bytes, key: bytes, levels: int = LEVELS) -> re.Pattern[bytes]:
    value = _value(string, levels)
    gap = (_SPACE, _SPACE, value, _SPACE, _SPACE)
    return re.compile(rb'(?:%b%b:%b%b%b,%b(?="))%b' % (key, *gap, _MANY))


_READ_ELEMENTS, _READ_MEMBERS = _elements(READ), _members(READ, READ + b'"')
PASSED_ELEMENTS, PASSED_MEMBERS = _elements(PASSED), _members(PASSED, PASSED + b'"')


def unknown_members(names: Collection[str]) -> re.Pattern[bytes]:
    """Return a pattern for members to pass over: those with plain keys other than these names."""
    known = b"|".join(re.escape(name.encode()) for name in names)
    key = rb'"(?!(?:%b)")(?:[ !#-\[\]-~]++|\\["\\/bfnrt])*%b"' % (known, POSSESSIVE)
    return _members(PASSED, key, levels=1)


def elements(body: bytes, at: int) -> tuple[list[Any] | None, int]:
    """Read the elements of an array at `at`; return them, and where the next one begins.

    They are None if one of them has a fault, which shows when each is read by itself.
    """
    return _read(_READ_ELEMENTS, body, at, "[]")


def members(body: bytes, at: int) -> tuple[dict[str, Any] | None, int]:
    """Read the members of an object at `at`, as `elements` does."""
    return _read(_READ_MEMBERS, body, at, "{}")


def passed(pattern: re.Pattern[bytes], body: bytes, at: int) -> int:
    """Return where the match at `at` ends."""
    match = pattern.match(body, at, at + WINDOW)
    return at if match is None else match.end()


def _read(pattern: re.Pattern[bytes], body: bytes, at: int, brackets: str) -> tuple[Any, int]:
    match = pattern.match(body, at, at + WINDOW)
    if match is None:
        return ([] if brackets == "[]" else {}), at
    try:
        text = match.group().decode().rstrip()[:-1]
        decoder = _exact if _DOUBTFUL.search(text) else _plain
        return decoder.decode(f"{brackets[0]}{text}{brackets[1]}"), match.end()
    except (UnicodeDecodeError, Fault):
        return None, match.end()


def _integer(text: str) -> int | float:
    return int(text) if len(text) < 19 and text != "-0" else numerals.read(text.encode(), 0)[0]


def _real(text: str) -> int | float:
    if len(text) < 12 and text[-2] in "eE+-":
        return float(text)  # with so few digits and so small a power both round once
    return numerals.read(text.encode(), 0)[0]


_plain = json.JSONDecoder()
_exact = json.JSONDecoder(parse_int=_integer, parse_float=_real)
