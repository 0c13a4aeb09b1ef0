"""Objects: files and batches as they are stored, and as OpenAI's API shows them.

Field by field as in the official Python client 2.54 (types/file_object.py, types/batch.py).
"""

import json
import secrets
import string
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

Status = Literal[
    "validating",
    "failed",
    "in_progress",
    "finalizing",
    "completed",
    "expired",
    "cancelling",
    "cancelled",
]
ENDED: frozenset[Status] = frozenset({"failed", "completed", "expired", "cancelled"})
INPUT_PURPOSE, OUTPUT_PURPOSE = "batch", "batch_output"
_LETTERS = string.ascii_letters + string.digits


class BatchError(Exception):
    """A request to the files or batches that is refused, in OpenAI's words."""

    def __init__(
        self, status: int, message: str, *, param: str | None = None, code: str | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.param = param
        self.code = code


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file that is there as a whole; times are Unix seconds."""

    id: str
    owner: str  # the name of the key that it belongs to, or an empty one
    filename: str
    purpose: str
    bytes: int
    created_at: int
    expires_at: int | None = None

    def shown(self) -> dict[str, Any]:
        """Return OpenAI's file object."""
        return {
            "object": "file",
            "id": self.id,
            "purpose": self.purpose,
            "filename": self.filename,
            "bytes": self.bytes,
            "created_at": self.created_at,
            "expires_at": self.expires_at,
            "status": "processed",
            "status_details": None,
        }


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault of a batch, or of a line of its input."""

    code: str
    message: str
    line: int | None = None  # from 1
    param: str | None = None

    def shown(self) -> dict[str, Any]:
        """Return OpenAI's batch error."""
        return {
            "code": self.code,
            "message": self.message,
            "param": self.param,
            "line": self.line,
        }


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch, how far it has come, and what of its results is certain; times are Unix seconds."""

    id: str
    owner: str
    endpoint: str
    input_file_id: str
    metadata: str | None  # JSON
    output_seconds: int | None  # how long its results are to be kept
    created_at: int
    expires_at: int
    status: Status = "validating"
    model: str | None = None
    errors: str | None = None  # JSON
    # Its results, written to these files from the start, and how many bytes of them count.
    output_id: str | None = None
    error_id: str | None = None
    output_bytes: int = 0
    error_bytes: int = 0
    next_byte: int = 0  # of the input, after the last line that has a result
    begun_byte: int = 0  # after the last line that was about to be computed with others
    begun_alone: int = 0  # processes that were about to compute the next line alone
    total: int = 0  # lines
    completed: int = 0
    failed: int = 0
    uncomputed: int = 0  # since it was cancelled or expired
    tokens: int = 0
    in_progress_at: int | None = None
    finalizing_at: int | None = None
    completed_at: int | None = None
    failed_at: int | None = None
    expired_at: int | None = None
    cancelling_at: int | None = None
    cancelled_at: int | None = None

    @property
    def has_ended(self) -> bool:
        """True if nothing of it will change."""
        return self.status in ENDED

    @property
    def waiting(self) -> int:
        """Lines that have no result yet."""
        return self.total - self.completed - self.failed - self.uncomputed

    def shown(self) -> dict[str, Any]:
        """Return OpenAI's batch object."""
        return {
            "object": "batch",
            "id": self.id,
            "endpoint": self.endpoint,
            "model": self.model,
            "errors": _listed(self.errors),
            "input_file_id": self.input_file_id,
            "completion_window": "24h",
            "status": self.status,
            "output_file_id": self.output_id if self.has_ended and self.output_bytes else None,
            "error_file_id": self.error_id if self.has_ended and self.error_bytes else None,
            "created_at": self.created_at,
            "in_progress_at": self.in_progress_at,
            "expires_at": self.expires_at,
            "finalizing_at": self.finalizing_at,
            "completed_at": self.completed_at,
            "failed_at": self.failed_at,
            "expired_at": self.expired_at,
            "cancelling_at": self.cancelling_at,
            "cancelled_at": self.cancelled_at,
            "request_counts": {
                "total": self.total,
                "completed": self.completed,
                "failed": self.failed,
            },
            "usage": _usage(self.tokens),
            "metadata": None if self.metadata is None else json.loads(self.metadata),
        }


def in_json(faults: Sequence[Fault]) -> str:
    """Return faults as they are stored."""
    return json.dumps([one.shown() for one in faults])


def new_file_id() -> str:
    """Return a fresh id in OpenAI's form."""
    return f"file-{''.join(secrets.choice(_LETTERS) for _ in range(24))}"


def new_batch_id() -> str:
    """Return a fresh id in OpenAI's form."""
    return f"batch_{secrets.token_hex(16)}"


def _listed(errors: str | None) -> dict[str, Any] | None:
    return None if errors is None else {"object": "list", "data": json.loads(errors)}


def _usage(tokens: int) -> dict[str, Any]:
    return {
        "input_tokens": tokens,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": 0,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": tokens,
    }
