"""Input lines: the requests of a batch, checked as a whole before any is computed.

Codes are those that OpenAI and Azure document for batches: `invalid_json_line`, `url_mismatch`,
`model_mismatch`, `model_not_found`, `duplicate_custom_id`, `empty_file`, `too_many_tasks`,
`missing_required_parameter`, and `invalid_request` for the rest.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from app.batches.objects import Fault

MOST_LINES = 50_000  # requests of a file, and blank lines
LONGEST_ID = 512  # characters of an id: all ids of a file are in memory at once
MOST_FAULTS = 100  # faults that are reported of one file
GROUP_LINES = 128  # lines that are computed together, at most
GROUP_INPUTS = 1024  # inputs of a group, or one request with more
GROUP_BYTES = 4_000_000  # bytes of a group, or one line with more
_SKIP_BYTES = 1 << 20
_TURN_LINES, _TURN_BYTES = 1000, 1 << 20  # checked in a few milliseconds
_PAUSE_SECONDS = 0.0005  # seconds of pause after each turn, for other threads


@dataclass(frozen=True, slots=True)
class Rules:
    """The limits and names that lines of a batch must keep to."""

    endpoint: str
    line_bytes: int  # at most
    knows: Callable[[str], bool]  # whether a model of that name is served


@dataclass(frozen=True, slots=True)
class Checked:
    """The result of checking a file: a batch if it has no faults."""

    total: int  # lines that are not blank
    model: str | None  # the model of all lines
    faults: tuple[Fault, ...]


@dataclass(frozen=True, slots=True)
class Line:
    """One request of a batch."""

    custom_id: str
    body: bytes  # JSON
    end: int  # the byte of the file after it


def checked(path: Path, rules: Rules, is_over: Callable[[], bool] = lambda: False) -> Checked:
    """Check every line of a file, in memory for one line and all ids. Raises: OSError.

    Others have a turn now and then, after which `is_over` tells whether nothing waits for this.
    """
    check = _Check(rules)
    size = 0  # bytes in this turn
    with path.open("rb") as file:
        for number, line in enumerate(_lines(file, rules.line_bytes), 1):
            check.line(number, line)
            if len(check.faults) >= MOST_FAULTS or check.has_too_many:
                break
            size += len(line or b"")
            if not number % _TURN_LINES or size >= _TURN_BYTES:
                size = 0
                time.sleep(_PAUSE_SECONDS)
                if is_over():
                    break
    if check.has_too_many:
        message = (
            f"The input file has more than {MOST_LINES} requests, or more blank lines than that; "
            "divide it into several."
        )
        check.faults = [Fault("too_many_tasks", message)]
    elif not check.total and not check.faults:
        check.faults = [Fault("empty_file", "The input file has no request.")]
    return Checked(check.total, check.model, tuple(check.faults))


def group(path: Path, start: int, lines: int | None = GROUP_LINES) -> list[Line]:
    """Return at most that many lines of a checked file from a byte on; none at its end.

    None asks for lines that are not computed, of whose inputs there may be any number. Raises:
    OSError.
    """
    most = MOST_LINES if lines is None else lines
    found: list[Line] = []
    inputs = size = 0
    with path.open("rb") as file:
        file.seek(start)
        while len(found) < most and inputs < GROUP_INPUTS and size < GROUP_BYTES:
            line = file.readline()
            if not line:
                break
            if line.strip():  # a group ends with a line of its own, or with the file
                size += len(line)
                request = orjson.loads(line)
                body = request["body"]
                asked = body.get("input")
                if lines is not None:
                    inputs += len(asked) if type(asked) is list else 1
                found.append(Line(request["custom_id"], orjson.dumps(body), file.tell()))
    return found


class _Check:
    """The check of one file, line by line."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._ids: set[str] = set()
        self._has_model = False
        self.total = self._blank = 0
        self.model: str | None = None
        self.faults: list[Fault] = []

    @property
    def has_too_many(self) -> bool:
        """Whether the file has more lines than a batch may."""
        return max(self.total, self._blank) > MOST_LINES

    def line(self, number: int, line: bytes | None) -> None:
        """Check one line, which is None if it is too long."""
        if line is not None and not line.strip():
            self._blank += 1
            return
        self.total += 1
        fault = self._fault(line)
        if fault is not None:
            code, message, param = fault
            self.faults.append(Fault(code, message, number, param))

    def _fault(self, line: bytes | None) -> tuple[str, str, str | None] | None:
        if line is None:
            most = self._rules.line_bytes
            return "invalid_request", f"This line has more than {most} bytes.", None
        try:
            request = orjson.loads(line)
        except orjson.JSONDecodeError:
            return "invalid_json_line", "This line is not parseable as valid JSON.", None
        if type(request) is not dict:
            return "invalid_json_line", "This line is not a JSON object.", None
        return self._request_fault(request) or self._body_fault(request["body"])

    def _request_fault(self, request: dict[str, Any]) -> tuple[str, str, str] | None:
        for name, kind, what in _FIELDS:
            if request.get(name) is None:
                return "missing_required_parameter", f"Missing required parameter: '{name}'.", name
            if type(request[name]) is not kind:
                return "invalid_request", f"'{name}' must be {what}.", name
        if len(request["custom_id"]) > LONGEST_ID:
            message = f"'custom_id' must have at most {LONGEST_ID} characters."
            return "invalid_request", message, "custom_id"
        if request["method"] != "POST":
            return "invalid_request", "'method' must be 'POST'.", "method"
        if request["url"] != self._rules.endpoint:
            wanted = self._rules.endpoint
            return "url_mismatch", f"The URL does not match the batch's endpoint, {wanted}.", "url"
        if request["custom_id"] in self._ids:
            message = "The custom_id for this request is a duplicate of another request."
            return "duplicate_custom_id", message, "custom_id"
        self._ids.add(request["custom_id"])
        return None

    def _body_fault(self, body: dict[str, Any]) -> tuple[str, str, str] | None:
        try:
            orjson.dumps(body)  # encoded as for its computation
        except orjson.JSONEncodeError:
            return "invalid_request", "'body' is nested too deeply.", "body"
        return self._model_fault(body)

    def _model_fault(self, body: dict[str, Any]) -> tuple[str, str, str] | None:
        model = body.get("model")
        if model is not None and type(model) is not str:
            return None  # a fault of this request alone
        if not self._has_model:
            self._has_model, self.model = True, model
        elif model != self.model:
            message = "The model of this request is not that of the first one."
            return "model_mismatch", message, "body.model"
        if model and not self._rules.knows(model):
            return "model_not_found", "The model of this request does not exist.", "body.model"
        return None


_FIELDS = (
    ("custom_id", str, "a string"),
    ("method", str, "a string"),
    ("url", str, "a string"),
    ("body", dict, "an object"),
)


def _lines(file: BinaryIO, most: int) -> Iterator[bytes | None]:
    """Yield lines, and None in place of one that has more than `most` bytes."""
    while line := file.readline(most + 1):
        if len(line) <= most or line.endswith(b"\n"):
            yield line
            continue
        while line and not line.endswith(b"\n"):
            line = file.readline(_SKIP_BYTES)
        yield None
