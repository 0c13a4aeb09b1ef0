"""Passing over: values that nobody asked for, of any depth, as serde_json 1.0.140 ignores them."""

import re
from typing import NoReturn

from app.api.body import numerals, quotations, runs
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
    """Take a value.

    Raises: Fault, of syntax.
    """
    closing = bytearray()  # the brackets that are still to come
    while True:
        while _opens(scanner, closing) and not _closes_at_once(scanner, closing):
            _begin(scanner, closing)
        if not _goes_on(scanner, closing):
            return
        scanner.at += 1
        _begin(scanner, closing)


def _opens(scanner: Scanner, closing: bytearray) -> bool:
    """Take a scalar, or the bracket of what is none and say so."""
    byte = scanner.peek()
    if byte == OPEN_LIST:
        opening = _OPENING.match(scanner.body, scanner.at)
        assert opening is not None  # one stands there
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
    """Whether what was opened is empty; its end is taken then."""
    byte = scanner.peek()
    if byte == END:
        _refuse_end(scanner, byte, closing[-1])
    if byte != closing[-1]:
        return False
    scanner.at += 1
    closing.pop()
    return True


def _goes_on(scanner: Scanner, closing: bytearray) -> bool:
    """Take all the ends that come; whether a comma follows, or all has been closed."""
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
    """Take the plain elements or members that stand next, and the key of the one after them."""
    byte = scanner.peek()
    if closing[-1] == CLOSE_LIST:
        scanner.pass_all(runs.PASSED_ELEMENTS)
        return
    if byte == QUOTE:
        scanner.pass_all(runs.PASSED_MEMBERS)
    if byte != QUOTE:
        scanner.next("EOF while parsing an object" if byte == END else "key must be a string")
    scanner.at = quotations.skip(scanner.body, scanner.at)
    scanner.colon()


def _refuse_end(scanner: Scanner, byte: int, closing: int) -> NoReturn:
    if byte == END:
        scanner.next(f"EOF while parsing {'a list' if closing == CLOSE_LIST else 'an object'}")
    scanner.next(f"expected `,` or `{chr(closing)}`")
