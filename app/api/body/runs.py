"""Runs: elements and members that nothing is wrong with, matched many at a time.

A run takes each with its comma, and never the last: what follows is read a token at a time again,
so that no fault is found here. It looks into `LEVELS` levels of arrays and objects, and no further
than a window, since nobody else has a turn while it looks.
"""

import json
import re
from collections.abc import Collection
from typing import Any

from app.api.body import numerals
from app.api.body.quotations import PASSED, READ
from app.api.shapes.faults import Fault

LEVELS = 2
WINDOW = 32 * 1024

# Numbers that serde_json may read as others than Python does.
_DOUBTFUL = re.compile(r"-0|[0-9]{16}|[0-9][eE]")
_SPACE = rb"[ \t\n\r]*+"
_NUMBER = rb"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?(?:[eE][+-]?[0-9]++)?"
_MANY = rb"{1,1000}+"


def _value(string: bytes, levels: int) -> bytes:
    """A value of at most so many levels, whose strings match `string`."""
    scalar = rb'%b"|%b|true|false|null' % (string, _NUMBER)
    if levels == 0:
        return rb"(?:%b)" % scalar
    inner = _value(string, levels - 1)
    array = rb"\[%b(?:%b%b(?:,%b(?=[^\]])|(?=\])))*+\]" % (_SPACE, inner, _SPACE, _SPACE)
    member = rb'%b"%b:%b%b%b' % (string, _SPACE, _SPACE, inner, _SPACE)
    made = rb'\{%b(?:%b(?:,%b(?=")|(?=\})))*+\}' % (_SPACE, member, _SPACE)
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
    """Members to pass over, whose plain keys are none of these."""
    known = b"|".join(re.escape(name.encode()) for name in names)
    return _members(PASSED, rb'"(?!(?:%b)")(?:[ !#-\[\]-~]++|\\["\\/bfnrt])*+"' % known, levels=1)


def elements(body: bytes, at: int) -> tuple[list[Any] | None, int]:
    """The elements of an array that stand at `at`, and where the next one does.

    None in their place where one of them is to be refused, when it is read by itself.
    """
    return _read(_READ_ELEMENTS, body, at, "[]")


def members(body: bytes, at: int) -> tuple[dict[str, Any] | None, int]:
    """The same of the members of an object."""
    return _read(_READ_MEMBERS, body, at, "{}")


def passed(pattern: re.Pattern[bytes], body: bytes, at: int) -> int:
    """Where that ends which is matched at `at`."""
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
        return float(text)  # so few digits and so small a power are rounded once, by either
    return numerals.read(text.encode(), 0)[0]


_plain = json.JSONDecoder()
_exact = json.JSONDecoder(parse_int=_integer, parse_float=_real)
