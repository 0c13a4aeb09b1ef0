"""Messages whose end two parsers may place differently, with a request hidden in each.

A server that reads them as one request must never answer the hidden one.
"""

import contextlib
import re
import socket
from collections.abc import Mapping

HIDDEN = b"GET /info HTTP/1.1\r\nHost: x\r\n\r\n"
LAST = b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
EMBED = b"POST /embed HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
BODY = b'{"inputs":"a"}'
TEXT = b'{"inputs":"' + HIDDEN.replace(b"\r\n", b"\\r\\n") + b'"}'


def chunked(
    body: bytes, size: bytes = b"%x", *, line: bytes = b"\r\n", after: bytes = b"\r\n"
) -> bytes:
    """Return a body of one chunk, with a spelling of its size and the ends of its line and data."""
    return size.replace(b"%x", b"%x" % len(body)) + line + body + after + b"0\r\n\r\n"


def encoded(*lines: bytes, body: bytes = b"") -> bytes:
    """Return a request with these lines in its head, followed by what may be more requests."""
    return EMBED + b"\r\n".join(lines) + b"\r\n\r\n" + (body or b"0\r\n\r\n" + HIDDEN)


def in_chunks(body: bytes) -> bytes:
    """Return a request with this body, by a plain Transfer-Encoding."""
    return encoded(b"Transfer-Encoding: chunked", body=body)


# By name, a message and the status of its answer; nothing after it may be answered.
REFUSED: Mapping[str, tuple[bytes, int]] = {
    # Two lengths by different headers.
    "length and chunked": (
        encoded(b"Content-Length: 5", b"Transfer-Encoding: chunked"), 400,
    ),
    "chunked and length": (
        encoded(b"Transfer-Encoding: chunked", b"Content-Length: 36"), 400,
    ),
    "length and folded chunked": (
        encoded(b"Content-Length: 5", b"Transfer-Encoding:", b" chunked"), 400,
    ),
    "length and chunked in HTTP/1.0": (
        encoded(b"Content-Length: 5", b"Transfer-Encoding: chunked").replace(b"1.1", b"1.0", 1),
        400,
    ),
    "other length": (encoded(b"Content-Length: 5", b"Content-Length: 36"), 400),
    "one length twice": (encoded(b"Content-Length: 36", b"Content-Length: 36"), 400),
    "one length twice in one line": (encoded(b"Content-Length: 36, 36"), 400),
    "other length in one line": (encoded(b"Content-Length: 5, 36"), 400),
    # Encodings that another parser may read as `chunked`, or as none.
    "unknown encoding": (encoded(b"Transfer-Encoding: xchunked"), 501),
    "quoted": (encoded(b'Transfer-Encoding: "chunked"'), 501),
    "identity": (encoded(b"Transfer-Encoding: identity"), 501),
    "gzip before": (encoded(b"Transfer-Encoding: gzip, chunked"), 501),
    "chunked twice": (encoded(b"Transfer-Encoding: chunked, chunked"), 501),
    "two encodings": (
        encoded(b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity"), 501,
    ),
    "blank before the colon": (encoded(b"Transfer-Encoding : chunked"), 400),
    "tab before the colon": (encoded(b"Transfer-Encoding\t: chunked"), 400),
    "vertical tab": (encoded(b"Transfer-Encoding:\x0bchunked"), 400),
    "zero byte": (encoded(b"Transfer-Encoding: \0chunked"), 400),
    "behind a bare CR": (encoded(b"X: y\rTransfer-Encoding: chunked"), 400),
    "folded into nothing": (
        EMBED.replace(b"Host: x", b" Transfer-Encoding: chunked\r\nHost: x")
        + b"\r\n0\r\n\r\n" + HIDDEN, 400,
    ),
    "folded": (encoded(b"Transfer-Encoding:", b" chunked"), 400),
    "folded elsewhere": (encoded(b"X: y", b" z", b"Content-Length: 5"), 400),
    # Lengths that another parser may read as another number.
    "plus": (encoded(b"Content-Length: +5"), 400),
    "minus": (encoded(b"Content-Length: -5"), 400),
    "hexadecimal": (encoded(b"Content-Length: 0x5"), 400),
    "blank within": (encoded(b"Content-Length: 5 0"), 400),
    "underscore": (encoded(b"Content-Length: 5_0"), 400),
    "empty": (encoded(b"Content-Length: "), 400),
    "comma": (encoded(b"Content-Length: 5,"), 400),
    "superscript": (encoded(b"Content-Length: \xb2"), 400),
    "longer than any": (encoded(b"Content-Length: " + b"0" * 20 + b"5"), 400),
    # Chunks.
    "chunk size with 0x": (in_chunks(chunked(BODY, b"0x%x") + HIDDEN), 400),
    "chunk size with plus": (in_chunks(chunked(BODY, b"+%x") + HIDDEN), 400),
    "chunk size of no number": (in_chunks(chunked(BODY, b"g") + HIDDEN), 400),
    "chunk size longer than any": (in_chunks(chunked(BODY, b"0" * 20 + b"%x") + HIDDEN), 400),
    "no chunk size": (in_chunks(chunked(BODY, b"") + HIDDEN), 400),
    "bare LF behind a chunk size": (in_chunks(chunked(BODY, line=b"\n") + HIDDEN), 400),
    "bare LF in a chunk extension": (in_chunks(chunked(BODY, b"%x;a\nb") + HIDDEN), 400),
    "bare LF behind a chunk": (in_chunks(chunked(BODY, after=b"\n") + HIDDEN), 400),
    "two bytes behind a chunk": (in_chunks(chunked(BODY, after=b"XX") + HIDDEN), 400),
    "a line more behind a chunk": (in_chunks(chunked(BODY, after=b"\r\n\r\n") + HIDDEN), 400),
    "encoding in a trailer": (
        in_chunks(chunked(BODY)[:-2] + b"Transfer-Encoding: gzip\r\n\r\n" + HIDDEN), 501,
    ),
    # Heads.
    "no host": (b"GET /livez HTTP/1.1\r\n\r\n" + HIDDEN, 400),
    "two hosts": (b"GET /livez HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n" + HIDDEN, 400),
    "bare CR in the target": (b"GET /livez\r/ HTTP/1.1\r\nHost: x\r\n\r\n" + HIDDEN, 400),
    "two lines before": (b"\r\n\r\n" + HIDDEN, 400),
    "HTTP/2.0": (HIDDEN.replace(b"1.1", b"2.0") + HIDDEN, 400),
    "HTTP/1.2": (HIDDEN.replace(b"1.1", b"1.2") + HIDDEN, 400),
    "HTTP/0.9": (HIDDEN.replace(b"1.1", b"0.9") + HIDDEN, 400),
    "no version": (b"GET /info\r\n\r\n" + HIDDEN, 400),
    "another protocol": (HIDDEN.replace(b"HTTP", b"RTSP") + HIDDEN, 400),
    "no name": (HIDDEN[:-2] + b": y\r\n\r\n" + HIDDEN, 400),
    "a request as a header": (b"GET /livez HTTP/1.1\r\nHost: x\r\n" + HIDDEN, 400),
}  # fmt: skip

# Messages with one reading, or with one that RFC 9112 names: two answers, the last of them LAST's.
READ: Mapping[str, bytes] = {
    "chunked": in_chunks(chunked(TEXT)),
    "chunk extension": in_chunks(chunked(TEXT, b"%x;a=b")),
    "zeros before a chunk size": in_chunks(chunked(TEXT, b"0" * 14 + b"%x")),
    "empty lines in a chunk": in_chunks(chunked(b"\r\n\r\n\n\r\n\r\n" + TEXT)),
    "zeros in a chunk": in_chunks(chunked(b'{"inputs":"a","x":%b}' % (b"1" + b"0" * 40))),
    "a line before": b"\r\n" + encoded(b"Content-Length: %d" % len(TEXT), body=TEXT),
    "length in a trailer": in_chunks(chunked(TEXT)[:-2] + b"Content-Length: 5\r\n\r\n"),
    "bare LF in the head": encoded(b"Content-Length: %d" % len(TEXT))
    .split(b"\r\n\r\n")[0]
    .replace(b"\r\n", b"\n")
    + b"\n\n"
    + TEXT,
    "underscores": encoded(
        b"Transfer_Encoding: chunked", b"Content-Length: %d" % len(TEXT), body=TEXT
    ),
}


def statuses(port: int, content: bytes) -> list[int]:
    """Return the statuses of all answers to one connection, which the other side must end."""
    answers = b""
    with (
        socket.create_connection(("127.0.0.1", port), 30) as connection,
        contextlib.suppress(ConnectionError),
    ):
        connection.sendall(content)
        while part := connection.recv(65536):
            answers += part
    return [int(one) for one in re.findall(rb"HTTP/1\.1 (\d{3})", answers)]
