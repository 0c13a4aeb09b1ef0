"""The icon of the pages under `/docs/`: points of a space, and the nearest to one of them."""

import struct
import zlib

_ROWS = (
    "................",
    ".##.............",
    ".##.........##..",
    "............##..",
    ".....oooo.......",
    "....o....o......",
    "...o......o.....",
    "...o..##..o.##..",
    "...o..##..o.##..",
    "...o......o.....",
    "....o....o......",
    ".....oooo.......",
    "................",
    "..##............",
    "..##.......##...",
    "...........##...",
)
_COLORS = {".": b"\0\0\0\0", "#": b"\x1f\x6f\xeb\xff", "o": b"\xf0\x88\x3e\xff"}  # RGBA


def png(scale: int) -> bytes:
    """Return the icon as a PNG image, each of its 16 × 16 points `scale` pixels wide and high."""
    size = scale * len(_ROWS)
    lines = [b"\0" + b"".join(_COLORS[point] * scale for point in row) for row in _ROWS]
    pixels = b"".join(line * scale for line in lines)
    head = struct.pack(">IIBBBBB", size, size, 8, 6, 0, 0, 0)  # 8 bits, RGBA, not interlaced
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(pixels, 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, content) for kind, content in chunks)


def _chunk(kind: bytes, content: bytes) -> bytes:
    body = kind + content
    return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))
