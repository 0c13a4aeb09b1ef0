"""Scanner: JSON a token at a time, with the faults and places of serde_json 1.0.140.

It follows that library's `de.rs` and `read.rs` in what is refused, in which words, and at which
byte. A fault is placed behind the bytes that were taken (`here`) or behind the next one (`next`).
Strings, numbers and runs of elements are matched by `re`.
"""

import re
from typing import Any, Final, NoReturn

from app.api.body import bulk_matching, numerals, quotations
from app.api.shapes.faults import Fault, Step

MOST_OPEN = 127  # nested arrays and objects
END: Final = -1  # returned by `peek` after the last byte

QUOTE, COMMA, COLON = b'",:'
OPEN_LIST, CLOSE_LIST, OPEN_MAP, CLOSE_MAP = b"[]{}"
NUMERIC = frozenset(b"-0123456789")
_IDENTS = {ord("n"): (b"null", None), ord("t"): (b"true", True), ord("f"): (b"false", False)}

_SPACE = ord(" ")  # the greatest of the white space characters
_BLANK = re.compile(rb"[ \t\n\r]*+")
_PAUSE = 32  # bytes to wait after a failed attempt at a run, which costs as much as many bytes
_WINDOW = 64 * 1024  # bytes matched at a time: no other thread runs during a match


class Scanner:
    """Reads tokens from a body; `at` is the first byte that was not taken."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.at = 0
        self._size = len(body)
        self.steps = 0  # taken so far, to measure what a body costs
        self._may_open = MOST_OPEN
        self._no_run_before = 0

    def peek(self) -> int:
        """Return the next byte after any white space, which is taken, or END."""
        self.steps += 1
        if self.at < self._size and (byte := self.body[self.at]) > _SPACE:
            return byte
        while blank := _BLANK.match(self.body, self.at, self.at + _WINDOW):
            start, self.at = self.at, blank.end()
            if self.at < start + _WINDOW:
                break
        return self.body[self.at] if self.at < self._size else END

    def here(self, message: str) -> NoReturn:
        """Raise a fault of syntax behind what was taken."""
        raise Fault(message, at=min(self.at, len(self.body)), syntax=True)

    def next(self, message: str) -> NoReturn:
        """Raise a fault of syntax at the byte that would be taken next."""
        raise Fault(message, at=min(self.at + 1, len(self.body)), syntax=True)

    def enter(self) -> None:
        """Take an opening bracket."""
        if self._may_open == 0:
            self.next("recursion limit exceeded")
        self._may_open -= 1
        self.at += 1

    def leave_list(self) -> None:
        """Take the end of an array from which no more elements are expected."""
        byte = self.peek()
        if byte == COMMA:
            self.at += 1
            byte = self.peek()
            self.next("trailing comma" if byte == CLOSE_LIST else "trailing characters")
        if byte != CLOSE_LIST:
            self.next("EOF while parsing a list" if byte == END else "trailing characters")
        self.at += 1
        self._may_open += 1

    def leave_map(self) -> None:
        """Take the end of an object from which no more members are expected."""
        byte = self.peek()
        if byte == COMMA:
            self.next("trailing comma")
        if byte != CLOSE_MAP:
            self.next("EOF while parsing an object" if byte == END else "trailing characters")
        self.at += 1
        self._may_open += 1

    def leave_variant(self) -> None:
        """Take the end of an object that stands for a variant."""
        byte = self.peek()
        if byte != CLOSE_MAP:
            self.here("EOF while parsing an object" if byte == END else "expected value")
        self.at += 1
        self._may_open += 1

    def has_element(self, *, first: bool) -> bool:
        """Check whether an array has one more element, and take the comma before it."""
        byte = self.peek()
        if byte == END:
            self.next("EOF while parsing a list")
        if byte == CLOSE_LIST:
            return False
        if first:
            return True
        if byte != COMMA:
            self.next("expected `,` or `]`")
        self.at += 1
        byte = self.peek()
        if byte == CLOSE_LIST:
            self.next("trailing comma")
        if byte == END:
            self.next("EOF while parsing a value")
        return True

    def has_member(self, *, first: bool) -> bool:
        """Check whether an object has one more member, and take the comma before it."""
        with Step(None):
            byte = self.peek()
            if byte == END:
                self.next("EOF while parsing an object")
            if byte == CLOSE_MAP:
                return False
            if not first:
                if byte != COMMA:
                    self.next("expected `,` or `}`")
                self.at += 1
                byte = self.peek()
                if byte == CLOSE_MAP:
                    self.next("trailing comma")
                if byte == END:
                    self.next("EOF while parsing a value")
            if byte != QUOTE:
                self.next("key must be a string")
            return True

    def key(self) -> str:
        """Read the key of a member, whose quote is next."""
        with Step(None):
            found, self.at = quotations.read(self.body, self.at)
            return found

    def colon(self) -> None:
        """Take the colon after a key."""
        byte = self.peek()
        if byte != COLON:
            self.next("EOF while parsing an object" if byte == END else "expected `:`")
        self.at += 1

    def null(self) -> bool:
        """Check whether the value is null, and take it if so."""
        if self.peek() == ord("n") and self.body.startswith(b"null", self.at):
            self.at += 4
            return True
        return False

    def elements(self) -> list[Any]:
        """Read the elements of an array that come next as a run, without its last; often none."""
        if not self._may_run(bulk_matching.LEVELS):
            return []
        start = self.at
        found, end = bulk_matching.elements(self.body, self.at)
        self._ran(end)
        if found is None:
            self.back_to(start)
        return found or []

    def members(self) -> dict[str, Any]:
        """Read the members of an object that come next as a run, without its last; often none."""
        if not self._may_run(bulk_matching.LEVELS):
            return {}
        start = self.at
        found, end = bulk_matching.members(self.body, self.at)
        self._ran(end)
        if found is None:
            self.back_to(start)
        return found or {}

    def pass_all(self, run: re.Pattern[bytes]) -> None:
        """Take all that a pattern matches, window by window."""
        while self._may_run(0):
            self._ran(bulk_matching.passed(run, self.body, self.at))

    def back_to(self, start: int) -> None:
        """Give back a run in which one element is refused, so that each is read by itself."""
        self._no_run_before = self.at
        self.at = start

    def _may_run(self, levels: int) -> bool:
        """Check whether to try for a run: not if it may be too deep, nor soon after a failure."""
        return self.at >= self._no_run_before and self._may_open >= levels

    def _ran(self, end: int) -> None:
        self.steps += 1
        if end == self.at:
            self._no_run_before = self.at + _PAUSE
        self.at = end

    def scalar(self) -> Any:
        """Read a string, a number, a boolean or null."""
        byte = self.peek()
        found: Any
        if byte == QUOTE:
            found, self.at = quotations.read(self.body, self.at)
        elif byte in NUMERIC:
            found, self.at = numerals.read(self.body, self.at)
        elif byte in _IDENTS:
            return self._ident(*_IDENTS[byte])
        else:
            self.next("EOF while parsing a value" if byte == END else "expected value")
        return found

    def _ident(self, word: bytes, value: bool | None) -> bool | None:
        for expected in word:
            if self.at == len(self.body):
                self.here("EOF while parsing a value")
            self.at += 1
            if self.body[self.at - 1] != expected:
                self.here("expected ident")
        return value
