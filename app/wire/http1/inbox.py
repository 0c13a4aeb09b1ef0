"""Inbox: bytes received and not yet read, and where the next request's head ends in them."""

import re

MAX_HEAD_BYTES = 64 * 1024  # of a request's head, its first line included

_END = re.compile(rb"\n\r?\n")
_EMPTY_LINES = (b"\r\n", b"\n")


class HeadTooLarge(Exception):
    """Too many bytes came without the end of a head."""


class Inbox:
    """Received bytes in their order."""

    def __init__(self) -> None:
        self._content = b""
        self._searched = 0  # bytes known to hold no end of a head
        self._has_skipped = False  # skipped an empty line before the next request

    def __len__(self) -> int:
        return len(self._content)

    def add(self, data: bytes) -> None:
        """Append bytes."""
        self._content = self._content + data if self._content else data

    def take(self) -> bytes:
        """Return all bytes, and empty the inbox."""
        content, self._content = self._content, b""
        self._searched = 0
        return content

    def head(self) -> bytes | None:
        """Take and return the next head if it is complete, or None; what follows stays.

        One empty line before it is skipped (RFC 9112, section 2.2).

        Raises: HeadTooLarge.
        """
        if not self._has_skipped:
            self._skip()
        end = _END.search(self._content, self._searched)
        size = len(self._content) if end is None else end.end()
        if size > MAX_HEAD_BYTES:
            raise HeadTooLarge
        if end is None:
            self._searched = max(0, size - 2)  # the end may begin in the last two bytes
            return None
        self._has_skipped = False
        content = self.take()
        self._content = content[size:]
        return content[:size]

    @property
    def has_begun(self) -> bool:
        """True if part of a head has arrived; the beginning of an empty line does not count."""
        return self._content not in {b"", b"\r"}

    def _skip(self) -> None:
        for line in _EMPTY_LINES:
            if self._content.startswith(line):
                self._content = self._content[len(line) :]
                self._has_skipped = True
                return
