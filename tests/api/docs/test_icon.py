"""The icon is a PNG that any reader takes."""

import struct
import zlib

from app.api.docs import icon


def test_the_icon_is_a_whole_png() -> None:
    content = icon.png(3)
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    chunks, at = {}, 8
    while at < len(content):
        [size] = struct.unpack_from(">I", content, at)
        body = content[at + 4 : at + 8 + size]
        assert struct.unpack_from(">I", content, at + 8 + size) == (zlib.crc32(body),)
        chunks[body[:4]] = body[4:]
        at += 12 + size
    assert list(chunks) == [b"IHDR", b"IDAT", b"IEND"]
    assert struct.unpack(">IIBBBBB", chunks[b"IHDR"]) == (48, 48, 8, 6, 0, 0, 0)
    lines = zlib.decompress(chunks[b"IDAT"])
    assert len(lines) == 48 * (1 + 4 * 48)
    assert lines[1:5] == b"\0\0\0\0"  # the corner is transparent
