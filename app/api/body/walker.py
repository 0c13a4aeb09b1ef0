"""Walker: the shared reading of containers, scalars and variants.

A fault without a place of its own gets the walker's, after leaving the array or object around it.
"""

import contextlib
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

from app.api.body.scanner import END, OPEN_LIST, OPEN_MAP, QUOTE, Scanner
from app.api.shapes.faults import Fault, Step
from app.api.shapes.fields import Misfit, Variant, string, wrong_type
from app.api.shapes.fields import Reader as Read

T = TypeVar("T")


class Walker:
    """Walks over a body, forwards only."""

    def __init__(self, body: bytes) -> None:
        self.scanner = Scanner(body)

    def in_list(self, make: Callable[[], T]) -> T:
        """Return what `make` makes of an array's elements, and take its end."""
        return self._inside(make, self.scanner.leave_list)

    def in_map(self, make: Callable[[], T]) -> T:
        """Return what `make` makes of an object's members, and take its end."""
        return self._inside(make, self.scanner.leave_map)

    def _inside(self, make: Callable[[], T], leave: Callable[[], None]) -> T:
        self.scanner.enter()
        try:
            made = make()
        except Fault as fault:
            self._settle(fault, leave)
            raise
        leave()
        return made

    def _settle(self, fault: Fault, leave: Callable[[], None]) -> None:
        """Give a fault without a place the one behind its container."""
        if fault.at is None:
            with contextlib.suppress(Fault):  # the first fault is the one to report
                leave()
            fault.at = self.scanner.at

    def scalar(self, read: Read) -> Any:
        """Read a scalar with `read`; an array or object is passed to it empty, and refused."""
        byte = self.scanner.peek()
        if byte in {OPEN_LIST, OPEN_MAP}:
            value: Any = [] if byte == OPEN_LIST else {}
        else:
            value = self.scanner.scalar()
        try:
            return read(value)
        except Misfit as misfit:
            raise Fault(misfit.message, at=self.scanner.at) from None

    def refused(self, read: Read) -> NoReturn:
        """Raise the fault of a value of another kind than its reader takes."""
        self.scalar(read)
        raise AssertionError(read)  # no reader of a container takes a scalar

    def variant(self, read: Variant) -> Any:
        """Read a variant: its name, or an object with its name as the only key and null."""
        byte = self.scanner.peek()
        if byte == QUOTE:
            return self.scalar(read)
        if byte != OPEN_MAP:
            self.scanner.next("EOF while parsing a value" if byte == END else "expected value")
        self.scanner.enter()
        if self.scanner.peek() != QUOTE:
            self.refused(_variant_identifier)
        name = self.scalar(string)
        found = self._known(read, name)
        self.scanner.colon()
        with Step(name):
            if not self.scanner.null():
                self.scalar(_unit)
        self.scanner.leave_variant()
        return found

    def _known(self, read: Variant, name: str) -> Any:
        try:
            return read(name)
        except Misfit as misfit:
            raise Fault(misfit.message, at=self.scanner.at) from None


def _variant_identifier(value: Any) -> None:
    raise wrong_type(value, "variant identifier")


def _unit(value: Any) -> None:
    raise wrong_type(value, "unit")
