"""Statuses: the gRPC status of each error.

Follows TEI 1.9.3 router/src/grpc/server.rs.
"""

from grpc import StatusCode

from app.errors import ServiceError

_CODES = {  # by the error type of HTTP
    "Backend": StatusCode.FAILED_PRECONDITION,
    "Empty": StatusCode.INVALID_ARGUMENT,
    "Overloaded": StatusCode.RESOURCE_EXHAUSTED,
    "Timeout": StatusCode.DEADLINE_EXCEEDED,
    "Tokenizer": StatusCode.FAILED_PRECONDITION,
    "Unhealthy": StatusCode.UNAVAILABLE,
    "Validation": StatusCode.INVALID_ARGUMENT,
}


# Bytes of UTF-8, each of which gRPC may send as three; clients take 8 kB of all metadata.
MOST_BYTES = 1_500


class CallRefused(Exception):
    """A call that ends before it is a request; its message is what the client reads."""

    def __init__(self, code: StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code


def code_of(error: ServiceError | CallRefused) -> StatusCode:
    """Return the status of a call that ends with an error."""
    return error.code if isinstance(error, CallRefused) else _CODES[error.error_type]


def reason_of(error: ServiceError | CallRefused) -> str:
    """Return the message of a call that ends with an error, cut if clients would not take it."""
    return str(error).encode(errors="replace")[:MOST_BYTES].decode(errors="ignore")
