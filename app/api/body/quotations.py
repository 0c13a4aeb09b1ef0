"""Quotations: JSON's strings as serde_json 1.0.140 reads them."""

import json
import re
import sys
from typing import NoReturn

from app.api.shapes.faults import Fault

# Behind the quantifier of a group: what has matched is never given up. Before Python 3.11.5 a group
# that fails halfway loses its place with that (python/cpython#106052); the same matches without it,
# since no text can be read in two ways, with more to remember on the way.
POSSESSIVE = b"+" if sys.version_info >= (3, 11, 5) else b""
_HEX = rb"[0-9a-fA-F]"
_PAIR = rb"[dD][89abAB]%b{2}\\u[dD][c-fC-F]%b{2}" % (_HEX, _HEX)
_ONE = rb"(?:[0-9a-cA-CeEfF]%b|[dD][0-7])%b{2}" % (_HEX, _HEX)
_INSIDE = rb'[^"\\\x00-\x1f]++|\\["\\/bfnrt]'
# A string without its closing quote: one whose value is read, and one that is passed over.
READ = rb'"(?:%b|\\u(?:%b|%b))*%b' % (_INSIDE, _ONE, _PAIR, POSSESSIVE)
PASSED = rb'"(?:%b|\\u%b{4})*%b' % (_INSIDE, _HEX, POSSESSIVE)
_READ, _PASSED = re.compile(READ[1:]), re.compile(PASSED[1:])
_SHORT = re.compile(rb'"([^"\\\x00-\x1f]{0,99}+)"')
_WINDOW = 64 * 1024  # bytes matched at a time: no other thread runs during a match
_decoder = json.JSONDecoder()
_UNIT = re.compile(rb"%b{4}" % _HEX)


def read(body: bytes, start: int) -> tuple[str, int]:
    """Return the string whose opening quote is at `start`, and where it ends.

    Raises: Fault.
    """
    short = _SHORT.match(body, start)
    end = short.end() if short else _end(body, start, _READ)
    try:
        text = body[start:end].decode()
    except UnicodeDecodeError:
        raise _fault("invalid unicode code point", end) from None
    found: str = _decoder.raw_decode(text)[0] if "\\" in text else text[1:-1]
    return found, end


def skip(body: bytes, start: int) -> int:
    """Return where an ignored string ends; it may be invalid Unicode.

    Raises: Fault.
    """
    short = _SHORT.match(body, start)
    return short.end() if short else _end(body, start, _PASSED)


def _end(body: bytes, start: int, inside: re.Pattern[bytes]) -> int:
    at = start + 1
    while match := inside.match(body, at, at + _WINDOW):
        if match.end() == at:
            break
        at = match.end()
    if at == len(body):
        raise _unfinished(body)
    if body[at : at + 1] == b'"':
        return at + 1
    if body[at : at + 1] == b"\\":
        _refuse_escape(body, at + 1)
    taken = inside is _READ
    raise _fault("control character (\\u0000-\\u001F) found while parsing a string", at + taken)


def _refuse_escape(body: bytes, at: int) -> NoReturn:
    """Raise the fault of the escape whose backslash is before `at`."""
    if at == len(body):
        raise _unfinished(body)
    if body[at : at + 1] != b"u":
        raise _fault("invalid escape", at + 1)
    high = _unit(body, at + 1)
    at += 5
    if high >= 0xDC00:
        raise _fault("lone leading surrogate in hex escape", at)
    for expected in b"\\u":
        if at == len(body):
            raise _unfinished(body)
        at += 1
        if body[at - 1] != expected:
            raise _fault("unexpected end of hex escape", at)
    _unit(body, at)
    raise _fault("lone leading surrogate in hex escape", at + 4)


def _unit(body: bytes, at: int) -> int:
    """Return the value of the four hexadecimal digits at `at`."""
    if at + 4 > len(body):
        raise _unfinished(body)
    match = _UNIT.match(body, at)
    if match is None:
        raise _fault("invalid escape", at + 4)
    return int(match.group(), 16)


def _unfinished(body: bytes) -> Fault:
    return _fault("EOF while parsing a string", len(body))


def _fault(message: str, at: int) -> Fault:
    return Fault(message, at=at, syntax=True)
