"""Binary: tensors behind the JSON of a body, by the protocol's binary tensor data extension.

A header says how long the JSON is; each input says how many of the bytes behind it are its own. An
element of BYTES is its length, 4 bytes little-endian, and that many bytes; here always UTF-8.
"""

from app.errors import MalformedTensor

HEADER = b"inference-header-content-length"
LENGTH_BYTES = 4
MOST_DIGITS = 15  # of a length in a header


def split(content: bytes, declared: bytes | None) -> tuple[bytes, memoryview]:
    """Return the JSON of a body and the binary data behind it, by the header's value.

    Raises: MalformedTensor for a value that is no length of this body's beginning.
    """
    if declared is None:
        return content, memoryview(b"")
    if not (declared.isdigit() and len(declared) <= MOST_DIGITS):
        raise _fault(f"the header `{HEADER.decode()}` is no number of bytes")
    size = int(declared)
    if size > len(content):
        raise _fault(
            f"the header `{HEADER.decode()}` says {size} bytes, and the body has {len(content)}"
        )
    return content[:size], memoryview(content)[size:]


class Binary:
    """The binary data behind a body's JSON, taken input by input."""

    def __init__(self, data: memoryview) -> None:
        self._data = data
        self._at = 0

    def __len__(self) -> int:
        return len(self._data)

    def take(self, size: int, name: str) -> memoryview:
        """Return the next `size` bytes, which are the tensor `name`'s.

        Raises: MalformedTensor if there are fewer.
        """
        left = len(self._data) - self._at
        if size > left:
            raise _fault(
                f"`{name}`: `binary_data_size` is {size}, and {left} bytes are left of the body"
            )
        self._at += size
        return self._data[self._at - size : self._at]

    def require_end(self) -> None:
        """Raise MalformedTensor if some bytes are no tensor's."""
        if left := len(self._data) - self._at:
            raise _fault(f"{left} bytes at the end of the body are of no input")


def texts(data: memoryview, count: int, name: str) -> list[str]:
    """Return the elements of a BYTES tensor, all of its data.

    Raises: MalformedTensor if these are not `count` texts in UTF-8.
    """
    found: list[str] = []
    at = 0
    for place in range(count):
        start = at + LENGTH_BYTES
        at = start + int.from_bytes(data[at:start], "little")
        if start > len(data) or at > len(data):
            raise _fault(
                f"`{name}`: the data ends within element {place} of {count}, counted from 0"
            )
        try:
            found.append(str(data[start:at], "utf-8"))
        except UnicodeDecodeError:
            raise _fault(f"`{name}`: element {place} is not UTF-8") from None
    if at < len(data):
        raise _fault(f"`{name}`: {len(data) - at} bytes are left behind {count} elements")
    return found


def _fault(detail: str) -> MalformedTensor:
    return MalformedTensor(f"Failed to read the binary data of the request body: {detail}")
