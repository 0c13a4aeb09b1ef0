"""Correlation: the id that ties a request to its caller's records."""

import itertools
import re
import secrets

REQUEST_ID = b"x-request-id"
TRACE_PARENT = b"traceparent"
_SANE = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._~:/+=@-]{0,127}")


class RequestIds:
    """Gives each request its id, which its answer and its log line carry."""

    def __init__(self) -> None:
        self._process = secrets.token_hex(8).encode()  # no other process makes the same ids
        self._count = itertools.count(1)

    def of(self, given: bytes | None) -> bytes:
        """Return the caller's own id if that is short and plain, else a new one."""
        if given and _SANE.fullmatch(given):
            return given
        return b"%b%016x" % (self._process, next(self._count))
