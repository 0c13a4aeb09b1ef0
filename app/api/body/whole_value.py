"""Whole value: of any kind, as serde buffers it before it tries an untagged union.

It is a loop and not recursive, since hostile bodies may nest deeply. Levels that no variant needs
are read and dropped, since a million containers would keep the garbage collector, and with it every
thread, busy.
"""

from typing import Any

from app.api.body.garbage_collection import let_go
from app.api.body.scanner import MOST_OPEN, OPEN_LIST, OPEN_MAP, Scanner
from app.api.shapes.faults import Fault


def capture(scanner: Scanner, levels: int = MOST_OPEN) -> Any:
    """Read a value; of two equal keys the later one counts.

    Keeps `levels` levels of arrays and objects; one below them becomes None.

    Raises: Fault, of syntax.
    """
    around: list[tuple[Any, str]] = []  # the open containers around `inside`, and the key into each
    inside: Any = None  # the array or object whose elements are being read
    key, in_value = "", True
    try:
        while True:
            value = _begun(scanner)
            kept = len(around) < levels
            if type(value) in {list, dict} and _goes_on(scanner, value, first=True, kept=kept):
                around.append((inside, key))
                inside = value
            else:
                while inside is not None:
                    in_value = False
                    kept = len(around) <= levels
                    too_deep = len(around) >= levels and type(value) in {list, dict}
                    _put(inside, key, value if kept and not too_deep else None)
                    if _goes_on(scanner, inside, first=False, kept=kept):
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
                let_go(one)
        raise


def _begun(scanner: Scanner) -> Any:
    """Read a scalar, or the opening bracket of an array or object, returned empty."""
    byte = scanner.peek()
    if byte == OPEN_LIST:
        scanner.enter()
        return []
    if byte == OPEN_MAP:
        scanner.enter()
        return {}
    return scanner.scalar()


def _goes_on(scanner: Scanner, inside: Any, *, first: bool, kept: bool) -> bool:
    """Read the runs that follow; return whether another element does, or read the end."""
    if type(inside) is list:
        if not scanner.has_element(first=first):
            scanner.leave_list()
            return False
        while run := scanner.elements():
            inside.extend(run if kept else [None] * len(run))
    else:
        if not scanner.has_member(first=first):
            scanner.leave_map()
            return False
        while members := scanner.members():
            inside.update(members if kept else dict.fromkeys(members))
    return True


def _put(inside: Any, key: str, value: Any) -> None:
    if type(inside) is list:
        inside.append(value)
    else:
        inside[key] = value
