"""Results: the lines of output and error files, and how they are written so that none is lost.

A file is written to its place from the start, but only the bytes that the store counts are there:
what a crash has left behind them is cut off by the next write.
"""

import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

from app.batches.folder import sync
from app.batches.input_lines import Line


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to one request: OpenAI's status, and a body in JSON."""

    status: int
    body: bytes
    tokens: int = 0


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request was never computed."""

    code: str
    message: str


EXPIRED = Refusal(
    "batch_expired",
    "This request could not be executed before the completion window expired.",
)
CANCELLED = Refusal("batch_cancelled", "The batch was cancelled before this request executed.")


@dataclass(frozen=True, slots=True)
class Results:
    """What became of some lines, as bytes to be appended to the two files of a batch."""

    output: bytes = b""
    errors: bytes = b""
    completed: int = 0
    failed: int = 0
    uncomputed: int = 0
    tokens: int = 0

    @classmethod
    def of(cls, lines: Sequence[Line], answers: Sequence[Answer]) -> "Results":
        """Return the results of lines that were computed."""
        rendered = [
            (answer, _answered(line.custom_id, answer))
            for line, answer in zip(lines, answers, strict=True)
        ]
        good = [content for answer, content in rendered if answer.status == 200]
        bad = [content for answer, content in rendered if answer.status != 200]
        tokens = sum(answer.tokens for answer in answers)
        return cls(b"".join(good), b"".join(bad), len(good), len(bad), tokens=tokens)

    @classmethod
    def refused(cls, lines: Sequence[Line], refusal: Refusal) -> "Results":
        """Return the results of lines that are not computed any more; they count as neither."""
        error = orjson.dumps({"code": refusal.code, "message": refusal.message})
        errors = b"".join(_line(one.custom_id, b"null", error) for one in lines)
        return cls(errors=errors, uncomputed=len(lines))


def append(path: Path, committed: int, content: bytes) -> int:
    """Write behind the bytes that count, and return how many do once the store says so.

    Raises: OSError; EOFError if the file has fewer bytes than count.
    """
    if not content:
        return committed
    is_new = not path.exists()
    with os.fdopen(os.open(path, os.O_CREAT | os.O_RDWR, 0o666), "r+b") as file:
        if os.fstat(file.fileno()).st_size < committed:
            raise EOFError
        file.truncate(committed)
        file.seek(committed)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    if is_new:
        sync(path.parent)
    return committed + len(content)


def cut(path: Path, committed: int) -> None:
    """Cut off what a crash has left behind the bytes that count. Raises: OSError."""
    if path.exists() and path.stat().st_size > committed:
        os.truncate(path, committed)
        sync(path)


def _answered(custom_id: str, answer: Answer) -> bytes:
    response = b'{"status_code": %d, "request_id": "%b", "body": %b}' % (
        answer.status,
        secrets.token_hex(16).encode(),
        answer.body,
    )
    return _line(custom_id, response, b"null")


def _line(custom_id: str, response: bytes, error: bytes) -> bytes:
    """Return a line with the keys and the blanks of OpenAI's."""
    return b'{"id": "batch_req_%b", "custom_id": %b, "response": %b, "error": %b}\n' % (
        secrets.token_hex(16).encode(),
        orjson.dumps(custom_id),
        response,
        error,
    )
