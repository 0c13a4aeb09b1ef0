"""Skipping: values of unknown fields, of any depth, as serde_json 1.0.140 ignores them."""

import re
from typing import NoReturn

from app.api.body import bulk_matching, numerals, quotations
from app.api.body.scanner import (
    CLOSE_LIST,
    CLOSE_MAP,
    COMMA,
    END,
    NUMERIC,
    OPEN_LIST,
    OPEN_MAP,
    QUOTE,
    Scanner,
)

_OPENING = re.compile(rb"\[{1,1000}+")


def skip(scanner: Scanner) -> None:
    """Pass over a value.

    Raises: Fault, of syntax.
    """
    closing = bytearray()  # the closing brackets still to come
    while True:
        while _opens(scanner, closing) and not _closes_at_once(scanner, closing):
            _begin(scanner, closing)
        if not _goes_on(scanner, closing):
            return
        scanner.at += 1
        _begin(scanner, closing)


def _opens(scanner: Scanner, closing: bytearray) -> bool:
    """Pass over a scalar and return False, or over opening brackets and return True."""
    byte = scanner.peek()
    if byte == OPEN_LIST:
        opening = _OPENING.match(scanner.body, scanner.at)
        assert opening is not None  # peek() has seen one
        scanner.at = opening.end()
        closing.extend(b"]" * len(opening.group()))
        return True
    if byte == OPEN_MAP:
        scanner.at += 1
        closing.append(CLOSE_MAP)
        return True
    if byte == QUOTE:
        scanner.at = quotations.skip(scanner.body, scanner.at)
    elif byte in NUMERIC:
        scanner.at = numerals.skip(scanner.body, scanner.at)
    else:
        scanner.scalar()
    return False


def _closes_at_once(scanner: Scanner, closing: bytearray) -> bool:
    """Check whether what was opened is empty, and pass over its end if so."""
    byte = scanner.peek()
    if byte == END:
        _refuse_end(scanner, byte, closing[-1])
    if byte != closing[-1]:
        return False
    scanner.at += 1
    closing.pop()
    return True


def _goes_on(scanner: Scanner, closing: bytearray) -> bool:
    """Pass over all closing brackets that come; return whether a comma follows."""
    while closing:
        byte = scanner.peek()
        if byte == COMMA:
            return True
        if byte != closing[-1]:
            _refuse_end(scanner, byte, closing[-1])
        scanner.at += 1
        closing.pop()
    return False


def _begin(scanner: Scanner, closing: bytearray) -> None:
    """Pass over the plain elements or members that come next, and the key of the one after them."""
    byte = scanner.peek()
    if closing[-1] == CLOSE_LIST:
        scanner.pass_all(bulk_matching.PASSED_ELEMENTS)
        return
    if byte == QUOTE:
        scanner.pass_all(bulk_matching.PASSED_MEMBERS)
    if byte != QUOTE:
        scanner.next("EOF while parsing an object" if byte == END else "key must be a string")
    scanner.at = quotations.skip(scanner.body, scanner.at)
    scanner.colon()


def _refuse_end(scanner: Scanner, byte: int, closing: int) -> NoReturn:
    if byte == END:
        scanner.next(f"EOF while parsing {'a list' if closing == CLOSE_LIST else 'an object'}")
    scanner.next(f"expected `,` or `{chr(closing)}`")
