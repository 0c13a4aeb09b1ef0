"""Arbitrary bytes on a connection: the server answers or closes it, logs nothing, and goes on."""

import socket
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from tools.process import Server, eventually

METHODS = ["GET", "POST", "HEAD", "OPTIONS", "PUT", "CONNECT", "TRACE", "get", "PRI", ""]
TARGETS = [
    "/embed", "/", "/health", "/metrics", "/docs/", "/vertex", "/tokenize", "/embed?a=%ff", "/%ff%00",
    "/docs/..%2f..%2fapp", "//", "*", "x:80", "http://x/embed", "/é", "/" + "a" * 20_000,
]  # fmt: skip
VERSIONS = ["HTTP/1.1"] * 4 + ["HTTP/1.0", "HTTP/2.0", "HTTP/9.9", ""]
HEADERS = [
    "Host: x", "Host: y", "Content-Type: application/json", "Content-Type: application/json",
    "Content-Length: 14", "Content-Length: 14", "Content-Length: 0", "Content-Length: -1",
    "Content-Length: 5, 5", "Content-Length: 99999999999999999999", "Transfer-Encoding: chunked",
    "Transfer-Encoding: gzip, chunked", "Expect: 100-continue", "Connection: close",
    "Connection: Upgrade", "Connection: Upgrade, HTTP2-Settings", "Upgrade: websocket",
    "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA", "HTTP2-Settings: !!",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Version: 13",
    "X-Request-Timeout-Ms: 1", "X-Request-Timeout-Ms: é", "X-Request-Id: é", "traceparent: 00-é-1",
    "X-Request-Id: " + "a" * 3000, "Authorization: Bearer é", "Origin: é", "Trailer: x", "TE: trailers",
    " folded: yes", "no header", "a b: c", "Cookie: " + "c" * 9000,
]  # fmt: skip
BODIES = [
    b"", b'{"inputs":"a"}', b'{"inputs":"a"}', b'e\r\n{"inputs":"a"}\r\n0\r\n\r\n', b"zz\r\n",
    b'e;x=y\r\n{"inputs":"a"}\r\n0\r\nX: y\r\n\r\n', b"ffffffffffff\r\nabc", b"\0" * 40,
    b"\x81\x85aaaaabcde",
]  # fmt: skip
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
SETTINGS_FRAME = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"


@st.composite
def frames(draw: st.DrawFn) -> bytes:
    """A frame of HTTP/2, of any type and for one of the first streams."""
    payload = draw(st.binary(max_size=20))
    kind, flags, stream = draw(
        st.tuples(st.integers(0, 12), st.integers(0, 255), st.integers(0, 5))
    )
    head = len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big")
    return head + payload


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    """A request of HTTP/1 or 2 that is right in parts."""
    if draw(st.integers(0, 9)) == 0:
        return PREFACE + SETTINGS_FRAME + b"".join(draw(st.lists(frames(), max_size=4)))
    line = " ".join(draw(st.sampled_from(part)) for part in (METHODS, TARGETS, VERSIONS))
    headers = draw(st.lists(st.sampled_from(HEADERS), max_size=7))
    head = "\r\n".join([line, *(["Host: x"] if draw(st.booleans()) else []), *headers])
    content = head.encode("latin-1") + b"\r\n\r\n" + draw(st.sampled_from(BODIES))
    if draw(st.integers(0, 4)) == 0:
        start = draw(st.integers(0, len(content)))
        return content[:start] + draw(st.binary(max_size=2)) + content[start + 1 :]
    return content * draw(st.integers(1, 2))


def test_no_bytes_upset_the_server(tiny_model: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    server = Server(
        "--model-id", str(tiny_model), "--client-timeout-seconds", "1",
        "--log-level", "warn,app.api.spans=off", log=log,
    )  # fmt: skip
    files = Path(f"/proc/{server.process.pid}/fd")

    @settings(max_examples=300)
    @given(messages())
    def send(content: bytes) -> None:
        answer = b""
        with server.connect() as connection:
            connection.sendall(content)
            connection.shutdown(socket.SHUT_WR)
            while part := connection.recv(65536):
                answer += part
        assert not answer.startswith(b"HTTP/1.1 500"), answer
        assert log.read_text() == ""

    try:
        server.wait_ready()
        with server.connect() as connection:  # the port opens before all else is ready
            connection.sendall(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
            assert connection.recv(65536).startswith(b"HTTP/1.1 200")
            before = len(list(files.iterdir())) - 1
        send()
        eventually(lambda: len(list(files.iterdir())) <= before)  # each connection must end
        server.signal()
        assert server.process.wait(30) == 0
    finally:
        server.stop()
    assert log.read_text() == ""
