"""Uploads: `multipart/form-data` on its way to the disk, with one file in it.

No more than BUFFER_BYTES of a file are in memory. python-multipart finds the parts.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from python_multipart import MultipartParser
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header
from starlette.types import Receive, Scope

from app.api.http.transport import header
from app.batches.objects import BatchError
from app.errors import BodyTimeout, ClientGone

BUFFER_BYTES = 1 << 20
SLOWEST = 16_384  # bytes a second that a client must send once its time for a request is over
SILENCE_SECONDS = 30.0  # seconds between two parts, however much has come before
OVERHEAD_BYTES = BUFFER_BYTES  # bytes of the form around the file, generously
_FIELD_BYTES = 1024  # bytes of a field that is no file
_MOST_FIELDS = 16
_FORM = "multipart/form-data with a `file` and a `purpose`"


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """The limits of an upload."""

    file_bytes: int
    seconds: float  # seconds for the first bytes


@dataclass(frozen=True, slots=True)
class Upload:
    """A received form: the fields, and the file that was written."""

    fields: dict[str, str]
    filename: str
    bytes: int


async def received(scope: Scope, receive: Receive, path: Path, limits: UploadLimits) -> Upload:
    """Write the file of an upload to a path, where nothing is left if this fails.

    Raises: BatchError, BodyTimeout, BrokenBody, ClientGone or OSError.
    """
    kind, options = parse_options_header(header(scope, b"content-type"))
    if kind != b"multipart/form-data" or not options.get(b"boundary"):
        raise BatchError(400, f"The body must be {_FORM}.")
    declared = header(scope, b"content-length")
    if declared is not None and declared.isdigit():
        _require_small(int(declared) - OVERHEAD_BYTES, limits.file_bytes)
    with contextlib.ExitStack() as unless_whole:
        unless_whole.callback(path.unlink, missing_ok=True)
        with await asyncio.to_thread(path.open, "wb") as file:
            form = _Form(options[b"boundary"])
            came = 0
            async for part in _parts(receive, limits.seconds):
                came += len(part)
                _require_small(came - OVERHEAD_BYTES, limits.file_bytes)
                form.feed(part)
                _require_small(form.size, limits.file_bytes)
                if len(form.buffer) >= BUFFER_BYTES:
                    await _write(file, form)
            await _write(file, form)
        upload = form.whole()
        unless_whole.pop_all()
    return upload


async def _write(file: BinaryIO, form: "_Form") -> None:
    content, form.buffer = form.buffer, bytearray()
    await asyncio.to_thread(flushed, file, content)


def flushed(file: BinaryIO, content: bytearray) -> None:
    """Write a part of a file; a full disk is told here, and not when the file is closed."""
    file.write(content)
    file.flush()


async def _parts(receive: Receive, seconds: float) -> AsyncIterator[bytes]:
    """Yield a body as it comes. Raises: BodyTimeout if that is too slow; ClientGone."""
    loop = asyncio.get_running_loop()
    began, size, more = loop.time(), 0, True
    while more:
        try:
            slowest = began + seconds + size / SLOWEST
            async with asyncio.timeout_at(min(slowest, loop.time() + SILENCE_SECONDS)):
                message = await receive()
        except TimeoutError:
            raise BodyTimeout from None
        if message["type"] == "http.disconnect":
            raise ClientGone
        part = message.get("body", b"")
        size += len(part)
        more = message.get("more_body", False)
        if part:
            yield part


def _require_small(size: int, most: int) -> None:
    if size > most:
        raise BatchError(
            413, f"The file has more than {most} bytes; --batch-file-limit raises it.", param="file"
        )


class _Form:
    """A form that is being read, with what has come of its file and was not written yet."""

    def __init__(self, boundary: bytes) -> None:
        self.buffer = bytearray()
        self.size = 0  # bytes of the file so far
        self._filename: str | None = None
        self._fields: dict[str, bytearray] = {}
        self._headers: dict[bytes, bytes] = {}
        self._name, self._value = bytearray(), bytearray()  # bytes of the header that is being read
        self._target: bytearray | None = None  # the buffer for the data of this part
        self._is_whole = False
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin,
                    "on_header_field": self._add_name,
                    "on_header_value": self._add_value,
                    "on_header_end": self._end_header,
                    "on_headers_finished": self._open,
                    "on_part_data": self._add_data,
                    "on_end": self._end,
                },
            )
        except FormParserError as error:
            raise BatchError(400, f"The form cannot be read: {error}.") from None

    def feed(self, content: bytes) -> None:
        """Take more of the body. Raises: BatchError."""
        try:
            self._parser.write(content)
        except FormParserError as error:
            raise BatchError(400, f"The form cannot be read: {error}.") from None

    def whole(self) -> Upload:
        """Return the form without its file's content. Raises: BatchError if it is not complete."""
        if not self._is_whole:
            raise BatchError(400, "The form breaks off.")
        if self._filename is None:
            message = "Missing required parameter: 'file'."
            raise BatchError(400, message, param="file", code="missing_required_parameter")
        fields = {name: _text(bytes(value)) for name, value in self._fields.items()}
        return Upload(fields, self._filename, self.size)

    def _begin(self) -> None:
        self._headers, self._target = {}, None

    def _add_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _add_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        self._headers[bytes(self._name).lower()] = bytes(self._value)
        self._name, self._value = bytearray(), bytearray()

    def _open(self) -> None:
        """Find out what the part is whose headers have come."""
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        name = _text(options.get(b"name", b""))
        if name == "file":
            if self._filename is not None:
                raise BatchError(400, "The form has two files.", param="file")
            self._filename = _text(options.get(b"filename", b"")) or "file"
        else:
            if len(self._fields) >= _MOST_FIELDS:
                raise BatchError(400, f"The form has more than {_MOST_FIELDS} fields.")
            self._target = self._fields.setdefault(name, bytearray())

    def _add_data(self, data: bytes, start: int, end: int) -> None:
        if self._target is None:
            self.buffer += data[start:end]
            self.size += end - start
        elif len(self._target) + end - start > _FIELD_BYTES:
            raise BatchError(400, f"A field of the form has more than {_FIELD_BYTES} bytes.")
        else:
            self._target += data[start:end]

    def _end(self) -> None:
        self._is_whole = True


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")
