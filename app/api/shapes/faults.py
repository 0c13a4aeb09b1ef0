"""Faults: errors in a body, their places, and how serde_path_to_error 0.1.17 reports them."""

from app.errors import MalformedBody, MistypedBody


class Fault(Exception):
    """Bad syntax or a wrong value, its place, and the path to it."""

    def __init__(self, message: str, *, at: int | None = None, syntax: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.syntax = syntax
        self.at = at  # bytes before its place; None until the container of the value has been left
        self.path: list[str | int | None] = []  # from the inside out; None for an unreadable key


class Step:
    """Adds a step to the path of faults that leave its block."""

    __slots__ = ("_name",)

    def __init__(self, name: str | int | None) -> None:
        self._name = name

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, fault: object, trace: object) -> None:
        if isinstance(fault, Fault):
            fault.path.append(self._name)


def refusal(fault: Fault, body: bytes) -> MalformedBody | MistypedBody:
    """Return the error for a fault in a client's body, in TEI's words."""
    error = MalformedBody if fault.syntax else MistypedBody
    return error(f"{_path(fault)}{fault.message} {_place(body, fault.at or 0)}")


def _path(fault: Fault) -> str:
    """Return the path as serde_path_to_error writes it, or an empty string."""
    steps = fault.path[::-1]
    if all(step is None for step in steps):
        return ""
    path = "".join(map(_written, steps))
    return f"{path.removeprefix('.')}: "


def _written(step: str | int | None) -> str:
    if type(step) is int:
        return f"[{step}]"
    return ".?" if step is None else f".{step}"


def _place(body: bytes, at: int) -> str:
    line_start = body.rfind(b"\n", 0, at) + 1
    return f"at line {body.count(10, 0, line_start) + 1} column {at - line_start}"
