"""Scanner: JSON a token at a time, with the faults and places of serde_json 1.0.140.

It follows that library's `de.rs` and `read.rs` in what is refused, in which words, and at which
byte. A fault is placed behind the bytes that were taken (`here`) or behind the one that was only
looked at (`next`). Strings, numbers and runs of elements are matched by `re`.
"""

import re
from typing import Any, Final, NoReturn

from app.api.body import numerals, quotations, runs
from app.api.shapes.faults import Fault, Step

MOST_OPEN = 127  # arrays and objects around one another
END: Final = -1  # in place of a byte, behind the last one

QUOTE, COMMA, COLON = b'",:'
OPEN_LIST, CLOSE_LIST, OPEN_MAP, CLOSE_MAP = b"[]{}"
NUMERIC = frozenset(b"-0123456789")
_IDENTS = {ord("n"): (b"null", None), ord("t"): (b"true", True), ord("f"): (b"false", False)}

_SPACE = ord(" ")  # the greatest of the white ones
_BLANK = re.compile(rb"[ \t\n\r]*+")
_PAUSE = 32  # bytes after a run that was none, since to try costs as much as many bytes
_WINDOW = 64 * 1024  # nobody else has a turn while it is matched


class Scanner:
    """Reads tokens off a body; `at` is the first byte that was not taken."""

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.at = 0
        self._size = len(body)
        self.steps = 0  # that were taken, to tell what a body costs
        self._may_open = MOST_OPEN
        self._no_run_before = 0

    def peek(self) -> int:
        """The next byte that is no white space, which is taken; END if there is none."""
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
        """Take the end of an array of which nothing more is wanted."""
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
        """Take the end of an object of which nothing more is wanted."""
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
        """Whether an array has one more element, of which its comma is taken."""
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
        """Whether an object has one more member, of which its comma is taken."""
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
        """The key of a member, whose quote is next."""
        with Step(None):
            found, self.at = quotations.read(self.body, self.at)
            return found

    def colon(self) -> None:
        """Take the colon behind a key."""
        byte = self.peek()
        if byte != COLON:
            self.next("EOF while parsing an object" if byte == END else "expected `:`")
        self.at += 1

    def null(self) -> bool:
        """Whether the value is null, which is taken then."""
        if self.peek() == ord("n") and self.body.startswith(b"null", self.at):
            self.at += 4
            return True
        return False

    def elements(self) -> list[Any]:
        """Elements of an array that stand next, but not its last; often none."""
        if not self._may_run(runs.LEVELS):
            return []
        start = self.at
        found, end = runs.elements(self.body, self.at)
        self._ran(end)
        if found is None:
            self.back_to(start)
        return found or []

    def members(self) -> dict[str, Any]:
        """Members of an object that stand next, but not its last; often none."""
        if not self._may_run(runs.LEVELS):
            return {}
        start = self.at
        found, end = runs.members(self.body, self.at)
        self._ran(end)
        if found is None:
            self.back_to(start)
        return found or {}

    def pass_all(self, run: re.Pattern[bytes]) -> None:
        """Take what is matched, and go on while there is more."""
        while self._may_run(0):
            self._ran(runs.passed(run, self.body, self.at))

    def back_to(self, start: int) -> None:
        """Give a run back of which one is to be refused, to be read one by one."""
        self._no_run_before = self.at
        self.at = start

    def _may_run(self, levels: int) -> bool:
        """Whether to try for a run: not where it could be too deep, nor soon after one was not."""
        return self.at >= self._no_run_before and self._may_open >= levels

    def _ran(self, end: int) -> None:
        self.steps += 1
        if end == self.at:
            self._no_run_before = self.at + _PAUSE
        self.at = end

    def scalar(self) -> Any:
        """A string, a number, a boolean or null."""
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
