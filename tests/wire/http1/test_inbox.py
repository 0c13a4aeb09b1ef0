"""The inbox: heads are found in pieces of any size, and are bounded."""

import pytest

from app.wire.http1.inbox import MAX_HEAD_BYTES, HeadTooLarge, Inbox

HEAD = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


def test_a_head_is_found_whatever_its_pieces() -> None:
    for cut in range(1, len(HEAD)):
        inbox = Inbox()
        inbox.add(HEAD[:cut])
        assert inbox.head() is None
        inbox.add(HEAD[cut:] + b"more")
        assert inbox.head() == HEAD
        assert inbox.take() == b"more"
        assert len(inbox) == 0


@pytest.mark.parametrize("line", [b"\r\n", b"\n"])
def test_one_empty_line_before_a_head_is_skipped_and_two_are_not(line: bytes) -> None:
    inbox = Inbox()
    inbox.add(line + HEAD)
    assert inbox.head() == HEAD
    inbox.add(line + line + HEAD)
    assert inbox.head() != HEAD


def test_a_head_without_an_end_is_bounded() -> None:
    inbox = Inbox()
    inbox.add(b"a" * MAX_HEAD_BYTES)
    assert inbox.head() is None
    inbox.add(b"a")
    with pytest.raises(HeadTooLarge):
        inbox.head()


@pytest.mark.parametrize(
    ("content", "begun"), [(b"", False), (b"\r", False), (b"G", True), (b"\n\n", True)]
)
def test_a_line_that_may_be_empty_begins_no_head(content: bytes, begun: bool) -> None:
    inbox = Inbox()
    inbox.add(content)
    assert inbox.has_begun == begun
