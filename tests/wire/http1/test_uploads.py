"""Bodies over real sockets: too slow, too large, endless, and answered before their end."""

import socket

import pytest

from tests.support.connections import HEAD, LARGE, START, read_all, send_and_read


def send_endlessly(connection: socket.socket) -> None:
    while True:
        connection.sendall(b"x" * 65536)


@pytest.mark.parametrize("sent", [b"", b'{"inp'])
def test_a_body_that_does_not_come_is_408_and_the_end(start: START, sent: bytes) -> None:
    server = start("--client-timeout-seconds", "0.3")
    with server.connect() as connection:
        connection.sendall(HEAD + b"Content-Length: 16\r\n\r\n" + sent)
        answer = read_all(connection)
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"connection: close" in answer
    assert answer.endswith(b"it came too slowly")


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (HEAD + b"Content-Length: 20000000\r\n\r\n", b"413"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n1312d00\r\n", b"413"),
        (HEAD.replace(b"/json", b"/xml") + b"Content-Length: 20000000\r\n\r\n", b"415"),
        (HEAD.replace(b"embed", b"none") + b"Content-Length: 20000000\r\n\r\n", b"404"),
        (b"this is no HTTP\r\n\r\n", b"400"),
    ],
    ids=["declared", "chunked", "no JSON", "no path", "no HTTP"],
)
def test_an_answer_reaches_a_client_that_still_sends(
    start: START, head: bytes, status: bytes
) -> None:
    server = start()
    with server.connect() as connection:
        answer = send_and_read(connection, head + LARGE)
    assert answer[9:12] == status
    assert b"connection: close" in answer.lower()


FITS = b'{"inputs":"cat"}'.ljust(30)
CLOSE = HEAD + b"Connection: close\r\n"


def in_chunks(size: int, body: bytes) -> bytes:
    """Return a body in chunks of a given size."""
    parts = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


def test_extra_slashes_of_a_base_url_are_accepted(start: START) -> None:
    server = start()
    for target in (b"//v1/embeddings", b"/v1//embeddings/", b"http://a//v1/embeddings/"):
        head = CLOSE.replace(b"/embed", target) + b"Content-Length: 13\r\n\r\n"
        with server.connect() as connection:
            connection.sendall(head + b'{"input":"a"}')
            assert read_all(connection).startswith(b"HTTP/1.1 200"), target


@pytest.mark.parametrize(("body", "status"), [(FITS, b"200"), (FITS + b" ", b"413")])
def test_one_byte_over_the_limit_is_413_however_it_comes(
    start: START, body: bytes, status: bytes
) -> None:
    server = start("--payload-limit", str(len(FITS)))
    length = b"Content-Length: %d\r\n" % len(body)
    coming = b"Expect: 100-continue\r\n"
    for head, content in (
        (CLOSE + length, body),
        (CLOSE + b"Transfer-Encoding: chunked\r\n", in_chunks(100, body)),
        (CLOSE + b"Transfer-Encoding: chunked\r\n", in_chunks(1, body)),
        (CLOSE + coming + length, body),
        (CLOSE + coming + b"Transfer-Encoding: chunked\r\n", in_chunks(7, body)),
    ):
        with server.connect() as connection:
            connection.sendall(head + b"\r\n")
            first = b""  # the answer may come with it
            if coming in head and (status == b"200" or length not in head):
                first = connection.recv(65536)
                assert first.startswith(b"HTTP/1.1 100")
            answer = first + send_and_read(connection, content)
        assert answer.rpartition(b"HTTP/1.1 ")[2][:3] == status


def test_without_the_key_the_body_is_not_waited_for(start: START) -> None:
    server = start("--api-key", "secret")
    with server.connect() as connection:
        connection.sendall(HEAD + b"Content-Length: 1000000000\r\n\r\n")
        answer = connection.recv(65536)
    assert answer.startswith(b"HTTP/1.1 401")
    assert b"connection: close" in answer


def test_a_client_that_never_stops_sending_is_cut_off(start: START) -> None:
    server = start("--client-timeout-seconds", "0.3")
    with server.connect() as connection:
        connection.sendall(HEAD + b"Content-Length: 100000000000000\r\n\r\n")
        assert read_all(connection).startswith(b"HTTP/1.1 413")
        with pytest.raises(ConnectionError):
            send_endlessly(connection)
