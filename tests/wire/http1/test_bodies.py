"""The end of a body, in pieces of any size, and invalid bodies."""

import pytest

from app.wire.http1.bodies import MAX_BETWEEN, Broken, Chunked, Counted

NEXT = b"\r\nGET / HTTP/1.1\r\n\r\n0\r\n\r\n"
BODIES = {
    "plain": (b"3\r\nabc\r\n0\r\n\r\n", b"abc"),
    "empty": (b"0\r\n\r\n", b""),
    "extension": (b"3;a=b\r\nabc\r\n0;c\r\n\r\n", b"abc"),
    "trailers": (b"3\r\nabc\r\n0\r\nA: b\r\nContent-Length: 5\r\n\r\n", b"abc"),
    "an end in the data": (b"9\r\n\r\n0\r\n\r\n\r\n\r\n0\r\n\r\n", b"\r\n0\r\n\r\n\r\n"),
    "zeros in the data": (b"14\r\n%b\r\n0\r\n\r\n" % (b"0" * 20), b"0" * 20),
    "zeros of a size": (b"%b3\r\nabc\r\n0\r\n\r\n" % (b"0" * 16), b"abc"),
}


@pytest.mark.parametrize(("wire", "content"), BODIES.values(), ids=BODIES)
@pytest.mark.parametrize("behind", [b"", b"\n", b"\r\n", NEXT, b"000000000000000000000"])
def test_chunks_end_at_the_same_byte_wherever_they_are_cut(
    wire: bytes, content: bytes, behind: bytes
) -> None:
    for cut in range(len(wire)):
        body = Chunked()
        first, rest = body.feed(wire[:cut])
        assert (body.left, rest) == (None, b"")
        second, rest = body.feed(wire[cut:] + behind)
        assert (first + second, body.left, rest) == (content, 0, behind)
    body, found = Chunked(), b""
    for place in range(len(wire)):
        part, _ = body.feed(wire[place : place + 1])
        found += part
    assert (found, body.left) == (content, 0)


@pytest.mark.parametrize("pieces", [1, 7, 100])
@pytest.mark.parametrize(
    ("wire", "status"),
    [
        (b"zz\r\n", 400),
        (b"\r\n", 400),
        (b"3\nabc", 400),
        (b" 3\r\n", 400),
        (b"3 \r\n", 400),
        (b"0" * 17 + b"3\r\nabc\r\n", 400),
        (b"3\r\nabc\r\n" + b"0" * 18, 400),
        (b"f" * 17 + b"\r\n", 400),
        (b"3\r\nabcd\r\n", 400),
        (b"3\r\nabc\r\n0\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        (b"3\r\nabc\r\n0\r\nA: b\r\n c\r\n\r\n", 400),
        (b"3;" + b"a" * 2 * MAX_BETWEEN, 400),
        (b"3\r\nabc\r\n0\r\n" + b"A: b\r\n" * (MAX_BETWEEN // 3), 400),
    ],
)
def test_an_invalid_chunk_breaks_the_body(wire: bytes, status: int, pieces: int) -> None:
    body = Chunked()
    parts = [wire[start : start + pieces] for start in range(0, len(wire), pieces)]
    with pytest.raises(Broken) as broken:
        list(map(body.feed, parts))
    assert broken.value.status == status


def test_a_counted_body_takes_its_length_and_no_more() -> None:
    body = Counted(5)
    assert (body.feed(b"abc"), body.left) == ((b"abc", b""), 2)
    assert (body.feed(b"defg"), body.left) == ((b"de", b"fg"), 0)
