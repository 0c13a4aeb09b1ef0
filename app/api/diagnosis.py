"""Diagnosis: the slow, exact reading of a body that the fast path refused or doubted.

It parses with the standard library's scanner, which shows duplicate keys and where a fault is,
and words every fault as serde_json 1.0.140 does. What serde tolerates is tolerated here: faults
inside unknown fields, text behind the first value, an array in place of the object. Lines and
columns are near serde's, not always equal.
"""

import json
import math
import re
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

from app.api.fields import MAX_U64, MIN_I64, REQUIRED, Misfit, Shape, shape_of, wrong_type
from app.errors import MalformedBody, MistypedBody

MAX_DEPTH = 127  # serde_json allows 128 levels, the body's own object among them
_BLANK = re.compile(r"[ \t\n\r]*")
_MARK = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*(?:"|$)|[\[\]{}]', re.DOTALL)

_HALF_PAIR = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}(?!\\u)")


class _Pairs(list[tuple[str, Any]]):
    """A JSON object with its keys in order, duplicates included."""


class _BadConstant(Exception):
    """`NaN` or `Infinity`, which JSON does not have."""


def read(body: bytes, shape: Shape) -> dict[str, Any]:
    """The typed fields of a JSON body, read in the order in which they stand.

    Raises: MalformedBody or MistypedBody with TEI's text.
    """
    text, found, end = _parse(body)
    values: dict[str, Any] = {}
    for name, value in _named(found, shape, text, end):
        after = _after_value(text, name, end)
        if name in values:
            raise MistypedBody(f"duplicate field `{name}` {_position(text, after)}")
        try:
            if (bad := _misfit(value, text)) is not None:
                raise bad
            _check_names(value, shape_of(shape.fields[name].read))
            values[name] = shape.read_field(name, _plain(value))
        except Misfit as misfit:
            detail = f"{misfit.path or name}: {misfit.message} {_position(text, after)}"
            raise (MalformedBody if misfit.syntax else MistypedBody)(detail) from None
    for name, field in shape.fields.items():
        if values.setdefault(name, field.default) is REQUIRED:
            raise MistypedBody(f"missing field `{name}` {_position(text, end)}")
    return values


def _parse(body: bytes) -> tuple[str, Any, int]:
    """The body as text, its first JSON value, and where that ends."""
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        before = body[: error.start].decode()
        raise MalformedBody(
            f"invalid unicode code point {_position(before, len(before))}"
        ) from None
    start = _end_of_blank(text, 0)
    try:
        return (text, *_decoder.raw_decode(text, start))
    except json.JSONDecodeError as error:
        # From Python 3.13 on, a trailing comma is reported where it stands, not where it shows.
        at = _end_of_blank(text, error.pos + 1) if "trailing comma" in error.msg else error.pos
        place = min(at + 1, len(text))
        raise MalformedBody(f"{_serde_words(error)} {_position(text, place)}") from None
    except _BadConstant as error:
        place = text.find(str(error)) + 1
        raise MalformedBody(f"expected value {_position(text, place)}") from None
    except RecursionError:
        raise MalformedBody(f"recursion limit exceeded {_position(text, MAX_DEPTH)}") from None


def _integer(text: str) -> int | float:
    # serde reads -0, and what 64 bits cannot hold, as floats; Python bounds an int's digits.
    if text == "-0" or len(text) > 20 or not MIN_I64 <= int(text) <= MAX_U64:
        return float(text)
    return int(text)


def _constant(name: str) -> NoReturn:
    raise _BadConstant(name)


_decoder = json.JSONDecoder(object_pairs_hook=_Pairs, parse_int=_integer, parse_constant=_constant)


def _named(found: Any, shape: Shape, text: str, end: int) -> Iterator[tuple[str, Any]]:
    """The known fields of an object; of an array, its elements in the order of the struct."""
    if type(found) is _Pairs:
        yield from ((name, value) for name, value in found if name in shape.fields)
    elif type(found) is list:
        yield from zip(shape.fields, found, strict=False)
    else:
        misfit = _misfit(found, text) or wrong_type(found, f"struct {shape.name}")
        error = MalformedBody if misfit.syntax else MistypedBody
        raise error(f"{misfit.message} {_position(text, end)}")


def _plain(value: Any) -> Any:
    """The value with dictionaries in place of pairs; it is not deep, `_misfit` saw to it."""
    if type(value) is _Pairs:
        return {name: _plain(inner) for name, inner in value}
    return [_plain(inner) for inner in value] if type(value) is list else value


def _check_names(value: Any, shape: Shape | None) -> None:
    """Refuse a known field that an object inside of a field has twice."""
    if shape is None or type(value) is not _Pairs:
        return
    seen = set()
    for name, inner in value:
        if name in seen and name in shape.fields:
            raise Misfit(f"duplicate field `{name}`")
        seen.add(name)
        if name in shape.fields:
            _check_names(inner, shape_of(shape.fields[name].read))


def _misfit(value: Any, text: str) -> Misfit | None:
    """What the scanner let pass and serde calls bad syntax, in a value that is looked at."""
    level: Sequence[Any] = [value]
    for _ in range(MAX_DEPTH):
        deeper: list[Any] = []
        for one in level:
            if isinstance(one, str) and not _is_unicode(one):
                return Misfit(f"{_surrogate_words(text)} hex escape", syntax=True)
            if isinstance(one, float) and math.isinf(one):
                return Misfit("number out of range", syntax=True)
            if type(one) is _Pairs:
                deeper.extend(inner for _, inner in one)
            elif type(one) is list:
                deeper.extend(one)
        if not deeper:
            return None
        level = deeper
    return Misfit("recursion limit exceeded", syntax=True)


def _surrogate_words(text: str) -> str:
    """What serde says of half a pair: behind the first half it wants another escape to begin."""
    return "unexpected end of" if _HALF_PAIR.search(text) else "lone leading surrogate in"


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _serde_words(error: json.JSONDecodeError) -> str:
    """What serde says where Python's scanner stopped."""
    text, place = error.doc, _end_of_blank(error.doc, error.pos)
    if error.msg.startswith("Unterminated string"):
        return "EOF while parsing a string"
    if error.msg.startswith("Invalid control character"):
        return "control character (\\u0000-\\u001F) found while parsing a string"
    if error.msg.startswith("Invalid"):
        return "invalid escape"
    container, before = _container(text, error.pos), text[:place].rstrip(" \t\n\r")
    if place == len(text):
        return f"EOF while parsing {'a value' if before.endswith((':', ',')) else container}"
    if error.msg.startswith("Expecting ':'"):
        return "expected `:`"
    if error.msg.startswith("Expecting ','"):
        return f"expected `,` or `{']' if container == 'a list' else '}'}`"
    if "trailing comma" in error.msg or (text[place] in "]}" and before.endswith(",")):
        return "trailing comma"
    return "key must be a string" if "property name" in error.msg else "expected value"


def _container(text: str, end: int) -> str:
    """What `text[:end]` is inside of: an object, a list, or the body itself."""
    open_marks: list[str] = []
    for match in _MARK.finditer(text, 0, end):
        mark = match.group()
        if mark in "[{":
            open_marks.append(mark)
        elif mark in "]}" and open_marks:
            open_marks.pop()
    return {"{": "an object", "[": "a list"}.get(open_marks[-1] if open_marks else "", "a value")


def _after_value(text: str, name: str, end: int) -> int:
    """Where the value of a top-level field ends, as near as a search for its key tells."""
    key = re.compile(rf'"{re.escape(name)}"[ \t\n\r]*:').search(text, 0, end)
    if key is None:
        return end
    try:
        _, after = _decoder.raw_decode(text, _end_of_blank(text, key.end()))
    except json.JSONDecodeError:
        return end
    return int(after)


def _end_of_blank(text: str, start: int) -> int:
    blank = _BLANK.match(text, start)
    return blank.end() if blank else start


def _position(text: str, end: int) -> str:
    line_start = text.rfind("\n", 0, end) + 1
    return f"at line {text.count(chr(10), 0, end) + 1} column {end - line_start}"
