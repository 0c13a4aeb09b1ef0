"""Uploads: the body of one request on its way, and how much of it is read only to be dropped."""

from app.wire.http1.bodies import Body, Broken, Chunked, Counted
from app.wire.http1.heads import Head

MAX_DROPPED = 64 * 1024  # bytes of an unwanted body that are read, to keep the connection


class Upload:
    """The body of a request, from its head to its last byte or its fault."""

    def __init__(self, request: Head) -> None:
        self._expects = request.expects  # the client waits for 100
        self._has_begun = False  # it is coming, or the client was told to send it
        self.is_broken = False  # it cannot be read any further
        length = request.length
        self._body: Body = Chunked() if length is None else Counted(length)
        self._received = self._dropped = 0  # bytes of content; bytes that were dropped

    @property
    def is_whole(self) -> bool:
        """True if all of it has arrived."""
        return self._body.left == 0

    @property
    def may_go_on(self) -> bool:
        """True if it is to be read to its end, so that another request may follow."""
        if self.is_broken:
            return False
        if self.is_whole:
            return True
        if self._expects and not self._has_begun:
            return False  # whether the client sends it now is unknown
        left = self._body.left
        return (self._received if left is None else left) <= MAX_DROPPED

    def invite(self) -> bool:
        """Return whether the client still waits for 100; it counts as sent from now on."""
        waits = self._expects and not self._has_begun
        self._has_begun = True
        return waits

    def feed(self, data: bytes, *, is_wanted: bool) -> tuple[bytes, bytes]:
        """Return the content in `data`, and the bytes after the body.

        Raises: Broken, once; nothing may be fed after it.
        """
        self._has_begun = True
        try:
            content, rest = self._body.feed(data)
            self._received += len(content)
            if not is_wanted:
                self._dropped += len(data) - len(rest)
            if self._dropped > MAX_DROPPED and not self.is_whole:
                raise Broken(413)
        except Broken:
            self.is_broken = True
            raise
        return content, rest
