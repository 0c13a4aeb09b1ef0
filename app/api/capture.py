"""Capture: a whole value of any kind, as serde buffers it before it tries an untagged union.

A loop in place of calls, since it is what hostile bodies are read by.
"""

from typing import Any

from app.api.faults import Fault
from app.api.scanner import OPEN_LIST, OPEN_MAP, Scanner


def capture(scanner: Scanner) -> Any:
    """Take a value; of two equal keys the later one counts.

    Raises: Fault, of syntax.
    """
    around: list[tuple[Any, str]] = []  # what is open around `inside`, and the key that leads on
    inside: Any = None  # the array or object whose elements are being read
    key, in_value = "", True
    try:
        while True:
            value = _begun(scanner)
            if type(value) in {list, dict} and _goes_on(scanner, value, first=True):
                around.append((inside, key))
                inside = value
            else:
                while inside is not None:
                    in_value = False
                    _put(inside, key, value)
                    if _goes_on(scanner, inside, first=False):
                        break
                    value = inside
                    inside, key = around.pop()
                else:
                    return value
            in_value = False
            if type(inside) is dict:
                key = scanner.key()
                scanner.colon()
            in_value = True
    except Fault as fault:
        if in_value:
            around.append((inside, key))
        for one, name in reversed(around):
            if one is not None:
                fault.path.append(len(one) if type(one) is list else name)
        raise


def _begun(scanner: Scanner) -> Any:
    """A scalar, or an array or an object of which the bracket is taken."""
    byte = scanner.peek()
    if byte == OPEN_LIST:
        scanner.enter()
        return []
    if byte == OPEN_MAP:
        scanner.enter()
        return {}
    return scanner.scalar()


def _goes_on(scanner: Scanner, inside: Any, *, first: bool) -> bool:
    """Whether one more element is to be read, behind those that come as a run; else its end."""
    if type(inside) is list:
        if not scanner.has_element(first=first):
            scanner.leave_list()
            return False
        while run := scanner.elements():
            inside.extend(run)
    else:
        if not scanner.has_member(first=first):
            scanner.leave_map()
            return False
        while members := scanner.members():
            inside.update(members)
    return True


def _put(inside: Any, key: str, value: Any) -> None:
    if type(inside) is list:
        inside.append(value)
    else:
        inside[key] = value
