"""Messages: the compiled definition is `tei.proto`, and bytes are protobuf's."""

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from google.protobuf.descriptor import FieldDescriptor
from grpc import StatusCode
from hypothesis import given
from hypothesis import strategies as st

from app.rpc.messages import POOL, SERVICES, before, named, packed, parsed
from app.rpc.statuses import CallRefused
from tests.test_floors import ROOT

FILE: Any = POOL.FindFileByName("tei.proto")
TYPES = {
    number: name.removeprefix("TYPE_").lower()
    for name, number in vars(FieldDescriptor).items()
    if name.startswith("TYPE_")
}


def written(field: Any) -> str:
    """Return a field as a line of the language."""
    kind = field.message_type or field.enum_type
    name = kind.name if kind else TYPES[field.type]
    label = "repeated " if field.is_repeated else ""
    if field.containing_oneof is not None:
        label = "optional "
    return f"  {label}{name} {field.name} = {field.number};"


def lines() -> Iterator[str]:
    """Return every compiled declaration."""
    for service in SERVICES.values():
        yield f"service {service.name} {{"
        for method in service.methods:
            asked, answer = method.input_type.name, method.output_type.name
            asked = f"stream {asked}" if method.client_streaming else asked
            answer = f"stream {answer}" if method.server_streaming else answer
            yield f"  rpc {method.name}({asked}) returns ({answer});"
        yield "}"
    for enum in FILE.enum_types_by_name.values():
        yield f"enum {enum.name} {{"
        yield from (f"  {value.name} = {value.number};" for value in enum.values)
        yield "}"
    for message in FILE.message_types_by_name.values():
        yield f"message {message.name} {{"
        yield from map(written, message.fields)
        yield "}"


def test_the_compiled_definition_is_current() -> None:
    source = (ROOT / "app/rpc/tei.proto").read_text()
    source = source.replace("{}", "{\n}")
    declared = [line for line in source.splitlines() if line and not line.strip().startswith("//")]
    assert declared[:2] == ['syntax = "proto3";', "package tei.v1;"]
    assert declared[2:] == list(lines())


@given(st.lists(st.floats(width=32), max_size=300))
def test_packed_floats_are_those_of_protobuf(values: list[float]) -> None:
    content = packed(1, np.array(values, np.float32))
    expected = named("TokenEmbedding")(embeddings=values).SerializeToString()
    assert content == (expected or b"\x0a\x00")


@given(st.integers(1, 15), st.integers(0, 2**31))
def test_a_length_is_a_varint(number: int, size: int) -> None:
    header = before(number, size)
    assert header[0] == number * 8 + 2
    assert sum((byte & 0x7F) << 7 * place for place, byte in enumerate(header[1:])) == size
    assert [byte >> 7 for byte in header[1:]] == [1] * (len(header) - 2) + [0]


@pytest.mark.parametrize("content", [b"\xff", b"\x0a\x05abc", b"\x0a\x01\xff", b"\x0f"])
def test_bytes_that_are_no_message_are_refused(content: bytes) -> None:
    with pytest.raises(CallRefused) as caught:
        parsed(named("EmbedRequest"), content)
    assert caught.value.code is StatusCode.INTERNAL
    assert re.match("failed to decode Protobuf message: ", str(caught.value))


def test_a_message_of_no_bytes_has_its_defaults() -> None:
    assert parsed(named("EmbedRequest"), b"") == named("EmbedRequest")()
