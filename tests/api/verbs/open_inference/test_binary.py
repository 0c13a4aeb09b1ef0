"""Binary tensors: they survive a round trip, and malformed ones are refused in one line."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.api.verbs.open_inference.binary import Binary, split, texts
from app.errors import MalformedTensor
from tests.support.tensors import packed

TEXTS = st.lists(st.text(), max_size=20)


@given(TEXTS)
def test_texts_come_back_as_they_were_packed(given_texts: list[str]) -> None:
    data = memoryview(packed([one.encode("utf-8", "replace") for one in given_texts]))
    expected = [one.encode("utf-8", "replace").decode() for one in given_texts]
    assert texts(data, len(given_texts), "text") == expected


@given(st.binary(max_size=60), st.integers(0, 2**64 - 1))
def test_any_bytes_are_texts_or_refused(data: bytes, count: int) -> None:
    try:
        found = texts(memoryview(data), count, "text")
    except MalformedTensor:
        return
    assert packed(found) == data
    assert len(found) == count


@given(TEXTS.filter(bool), st.data())
def test_a_tensor_that_is_cut_or_goes_on_is_refused(
    written: list[str], draw: st.DataObject
) -> None:
    data = packed([one.encode("utf-8", "replace") for one in written])
    cut = draw.draw(st.integers(0, len(data) - 1))
    for wrong in (data[:cut], data + b"\0"):
        with pytest.raises(MalformedTensor):
            texts(memoryview(wrong), len(written), "text")


@pytest.mark.parametrize(
    ("data", "count", "message"),
    [
        (b"\1\0\0", 1, "`text`: the data ends within element 0 of 1, counted from 0"),
        (b"", 1, "`text`: the data ends within element 0 of 1, counted from 0"),
        (packed(["a"]) + b"\2\0\0\0b", 2, "the data ends within element 1 of 2, counted from 0"),
        (b"\xff\xff\xff\xffab", 1, "`text`: the data ends within element 0 of 1"),
        (packed(["a", b"\xff"]), 2, "`text`: element 1 is not UTF-8"),
        (packed([b"\xed\xa0\x80"]), 1, "`text`: element 0 is not UTF-8"),  # a surrogate
        (packed(["a", "b"]), 1, "`text`: 5 bytes are left behind 1 elements"),
        (b"\0", 0, "`text`: 1 bytes are left behind 0 elements"),
    ],
)
def test_data_that_is_no_text_is_refused_by_its_place(
    data: bytes, count: int, message: str
) -> None:
    with pytest.raises(MalformedTensor) as refused:
        texts(memoryview(data), count, "text")
    assert message in str(refused.value)
    assert str(refused.value).startswith("Failed to read the binary data of the request body: ")


@pytest.mark.parametrize(
    ("declared", "parts"),
    [
        (None, (b"{}ab", b"")),
        (b"4", (b"{}ab", b"")),
        (b"2", (b"{}", b"ab")),
        (b"0", (b"", b"{}ab")),
        (b"0002", (b"{}", b"ab")),
    ],
)
def test_a_header_says_how_long_the_json_is(
    declared: bytes | None, parts: tuple[bytes, bytes]
) -> None:
    head, data = split(b"{}ab", declared)
    assert (head, bytes(data)) == parts


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        (b"5", "says 5 bytes, and the body has 4"),
        (b"-1", "is no number of bytes"),
        (b"+2", "is no number of bytes"),
        (b"", "is no number of bytes"),
        (b"2.0", "is no number of bytes"),
        (b"two", "is no number of bytes"),
        (b" 2", "is no number of bytes"),
        ("²".encode(), "is no number of bytes"),
        (b"9" * 15, f"says {'9' * 15} bytes, and the body has 4"),
        (b"9" * 100_000, "is no number of bytes"),
    ],
)
def test_a_wrong_length_in_the_header_is_refused(declared: bytes, message: str) -> None:
    with pytest.raises(MalformedTensor) as refused:
        split(b"{}ab", declared)
    assert f"the header `inference-header-content-length` {message}" in str(refused.value)


@given(st.binary(max_size=50), st.lists(st.integers(0, 30), max_size=5))
def test_sizes_of_inputs_must_cover_all_data(data: bytes, sizes: Sequence[int]) -> None:
    binary = Binary(memoryview(data))
    taken = b""
    try:
        for size in sizes:
            taken += bytes(binary.take(size, "text"))
        binary.require_end()
    except MalformedTensor:
        assert sum(sizes) != len(data)
    else:
        assert taken == data


def test_missing_and_excess_data_are_reported() -> None:
    binary = Binary(memoryview(b"abc"))
    assert bytes(binary.take(1, "query")) == b"a"
    with pytest.raises(MalformedTensor, match="`text`: `binary_data_size` is 3, and 2 bytes are"):
        binary.take(3, "text")
    with pytest.raises(MalformedTensor, match="2 bytes at the end of the body are of no input"):
        binary.require_end()
