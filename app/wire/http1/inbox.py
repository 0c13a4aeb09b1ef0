"""What a client has sent and nobody has read yet: where the next request's head ends in it."""

import re

MAX_HEAD_BYTES = 64 * 1024  # of a request's head, its first line included

_END = re.compile(rb"\n\r?\n")
_EMPTY_LINES = (b"\r\n", b"\n")


class HeadTooLarge(Exception):
    """So many bytes came without the end of a head."""


class Inbox:
    """Bytes in the order in which they came."""

    def __init__(self) -> None:
        self._content = b""
        self._searched = 0  # how far there is no end of a head
        self._has_skipped = False  # an empty line before the next request

    def __len__(self) -> int:
        return len(self._content)

    def add(self, data: bytes) -> None:
        """Put these bytes behind the others."""
        self._content = self._content + data if self._content else data

    def take(self) -> bytes:
        """All of it, which is then empty."""
        content, self._content = self._content, b""
        self._searched = 0
        return content

    def head(self) -> bytes | None:
        """The next head, if all of it has come; what follows stays.

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
            self._searched = max(0, size - 2)  # where the end may begin
            return None
        self._has_skipped = False
        content = self.take()
        self._content = content[size:]
        return content[:size]

    @property
    def has_begun(self) -> bool:
        """Whether a part of a head has come; a line that may be empty is none."""
        return self._content not in {b"", b"\r"}

    def _skip(self) -> None:
        for line in _EMPTY_LINES:
            if self._content.startswith(line):
                self._content = self._content[len(line) :]
                self._has_skipped = True
                return
